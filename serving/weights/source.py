"""Where weights come from: a folder, the Hugging Face hub or S3. Pure.

```
/models/r1  ./r1  ~/r1                a folder that every node has, a mounted volume included
deepseek-ai/DeepSeek-R1[@REVISION]    the Hugging Face hub (HF_ENDPOINT, HF_TOKEN)
s3://bucket/prefix[?endpoint=URL&region=R&anonymous=true]
```
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from serving.errors import WeightsError, nearest

_HUB = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Environment of an engine that loads a folder: it is kept off the network."""
_S3_FIELDS = ("endpoint", "region", "anonymous")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this node."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository of the Hugging Face hub."""

    repo: str
    revision: str = "main"
    """Branch, tag or commit."""

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """All objects below a prefix of an S3 bucket. Credentials come from the environment."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    """URL of a store that speaks S3; None asks AWS_ENDPOINT_URL, and then AWS itself."""
    region: str | None = None
    anonymous: bool = False

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


Remote = Hub | Bucket
Source = Folder | Remote


def parse(text: str) -> Source:
    """Understand what a deployment says about its weights.

    Raises:
        WeightsError: it is none of the three, or a field of the address is wrong.
    """
    if text.startswith("s3://"):
        return _bucket(text)
    if text.startswith(("/", ".", "~")):
        return Folder(Path(text).expanduser())
    hub = _HUB.fullmatch(text.removeprefix("hf://"))
    if hub and ".." not in text:
        return Hub(hub["repo"], hub["revision"] or "main")
    raise WeightsError(
        f"weights `{text}` are neither a folder (begin it with / or ./), nor a hub id "
        "(organisation/name[@revision]), nor s3://bucket/prefix"
    )


def cache_key(source: Remote) -> str:
    """Return the name of the source's folder in a cache: readable, and different for each source.

    >>> cache_key(Hub("deepseek-ai/DeepSeek-R1"))
    'deepseek-ai--DeepSeek-R1-2fb8ae2d'
    """
    name = source.repo if isinstance(source, Hub) else f"{source.bucket}/{source.prefix}"
    digest = hashlib.sha256(repr(source).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '--', name)[-80:].lstrip('.-')}-{digest}"


def _bucket(text: str) -> Bucket:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise WeightsError(
            "keys don't belong into an s3:// address, where they would end up in logs: "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    prefix = parts.path.strip("/")
    if not parts.netloc or not prefix:
        raise WeightsError(f"{text} lacks a bucket or a prefix: give s3://bucket/prefix")
    fields = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in fields:
        if name not in _S3_FIELDS:
            raise WeightsError(f"an s3:// address has no `{name}`; {nearest(name, _S3_FIELDS)}")
    anonymous = fields.get("anonymous", "false").lower()
    if anonymous not in ("true", "false"):
        raise WeightsError(f"anonymous is {anonymous!r} in {text}: give true or false")
    return Bucket(
        parts.netloc,
        prefix,
        endpoint=fields.get("endpoint") or None,
        region=fields.get("region") or None,
        anonymous=anonymous == "true",
    )
