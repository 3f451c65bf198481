"""Makes the secrets of the first start: runs once, as root, before everything else.

Each service has a volume of its own below /secrets and sees nothing of the others. What is there
already stays, so that a restart changes nothing and any secret can be replaced by hand. With the
word `key` it also prints the API key.
"""

import os
import secrets
import sys
from pathlib import Path

from gateway.auth.keys import make_key

ROOT = Path("/secrets")
# Volumes that services write to.
DATA = Path("/data")
# What all of r1's images run as; Redis is told to do alike.
USER = 10001
REDIS = """\
bind 0.0.0.0
protected-mode yes
requirepass {password}
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
"""
KEYS = """\
keys:
  - name: first
    key: {key}
"""


def keep(path: Path, text: str) -> str:
    """Write a file that only its user can read, unless it is there; what it holds then."""
    if not path.exists():
        partial = path.with_name(f".{path.name}")
        partial.touch(mode=0o400)
        partial.write_text(text, encoding="utf-8")
        os.chown(partial, USER, USER)
        partial.rename(path)
    return path.read_text(encoding="utf-8")


def prepare() -> None:
    """Make what is missing."""
    password = keep(ROOT / "redis" / "password", secrets.token_hex(32))
    keep(ROOT / "redis" / "redis.conf", REDIS.format(password=password))
    engine = keep(ROOT / "serving" / "engine-key", secrets.token_hex(32))
    key = keep(ROOT / "operator" / "api-key", make_key(secrets.choice))
    admin = keep(ROOT / "operator" / "admin-key", secrets.token_hex(32))
    keep(ROOT / "operator" / "grafana-password", secrets.token_hex(16))
    store = f"redis://:{password}@redis:6379/0"
    keep(ROOT / "serving" / "store-url", store)
    keep(ROOT / "gateway" / "store-url", store)
    keep(ROOT / "gateway" / "engine-key", engine)
    keep(ROOT / "gateway" / "admin-key", admin)
    keep(ROOT / "gateway" / "pepper", secrets.token_hex(32))
    keep(ROOT / "gateway" / "keys.yaml", KEYS.format(key=key))
    for folder in (*ROOT.iterdir(), *DATA.iterdir()):
        os.chown(folder, USER, USER)


if __name__ == "__main__":
    prepare()
    if sys.argv[1:] == ["key"]:
        print((ROOT / "operator" / "api-key").read_text(encoding="utf-8"))
