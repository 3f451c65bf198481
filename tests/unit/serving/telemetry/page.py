"""docs/api.md, which tells of every metric."""

from pathlib import Path

PAGE = (Path(__file__).parents[4] / "docs" / "api.md").read_text(encoding="utf-8")
