"""files/catalog.yaml: what the gateway's configuration says of a model of the catalog."""

from pathlib import Path
from typing import Any

import yaml

from serving.catalog import Catalog
from serving.catalog.arithmetic import parameters
from serving.catalog.model import Model

_HEAD = """\
# The catalog (serving/catalog/models/) as the gateway's configuration needs it.
# Written by `python -m scripts.chart catalog`.
"""


def text(_: Path) -> str:
    """The file's text."""
    models = {model.id: _entry(model) for model in Catalog.load()}
    return _HEAD + yaml.safe_dump(models, sort_keys=False, allow_unicode=True)


def _entry(model: Model) -> dict[str, Any]:
    return {
        "aliases": list(model.aliases),
        "parametersMillions": round(parameters(model.architecture).total / 1e6, 1),
        # The weights lie in the image.
        "packaged": model.builds[0].package is not None,
        "contextLength": model.context.served,
        "defaults": {"temperature": model.sampling.temperature, "top_p": model.sampling.top_p},
        **({"prices": model.prices.model_dump()} if model.prices else {}),
    }
