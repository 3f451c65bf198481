"""The models that r1 serves: ids, architecture numbers, licences, parsers, sampling defaults."""

from serving.catalog.architecture import DeepseekV3, Llama, Qwen2
from serving.catalog.builds import Build
from serving.catalog.catalog import Catalog
from serving.catalog.model import Model

__all__ = ["Build", "Catalog", "DeepseekV3", "Llama", "Model", "Qwen2"]
