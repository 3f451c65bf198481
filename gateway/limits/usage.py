"""Usage per key, model and day: read from the store, and written as JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.limits.prices import dollars
from gateway.store.redis import Store

_LONGEST_DAYS = 366
_COLUMNS = (
    "day",
    "tenant",
    "key_id",
    "model",
    "requests",
    "cached_answers",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_usd",
)


@dataclass(slots=True)
class UsageRow:
    """What one key used of one model on one day (UTC). `usd` is in 10^-9 USD."""

    day: str
    tenant: str
    key_id: str
    model: str
    requests: int = 0
    cached: int = 0
    hit: int = 0
    miss: int = 0
    completion: int = 0
    reasoning: int = 0
    usd: int = 0

    def public(self) -> dict[str, Any]:
        """The row as the API and the files have it; the cost is a decimal number as text."""
        values = (
            self.day,
            self.tenant,
            self.key_id,
            self.model,
            self.requests,
            self.cached,
            self.hit,
            self.miss,
            self.completion,
            self.reasoning,
            dollars(self.usd),
        )
        return dict(zip(_COLUMNS, values, strict=True))


def days_between(first: date, last: date) -> list[str]:
    """All days from `first` to `last`. ValueError says what is wrong with them."""
    count = (last - first).days + 1
    if not 0 < count <= _LONGEST_DAYS:
        raise ValueError(f"must span 1 to {_LONGEST_DAYS} days; {first} to {last} are {count}")
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


async def read(store: Store, days: Sequence[str], key_id: str | None = None) -> list[UsageRow]:
    """The rows of these days, of one key or of all. Raises StoreDown."""
    rows: list[UsageRow] = []
    found = await store.fields([f"r1:usage:{day}" for day in days])
    for day, fields in zip(days, found, strict=True):
        of_day: dict[tuple[str, str, str], UsageRow] = {}
        for field, value in fields.items():
            key, rest = field.split("\t", 1)
            tenant, model, kind = rest.rsplit("\t", 2)
            if key_id is not None and key != key_id:
                continue
            row = of_day.setdefault((tenant, key, model), UsageRow(day, tenant, key, model))
            setattr(row, kind, int(value))
        rows.extend(of_day[place] for place in sorted(of_day))
    return rows


def as_csv(rows: Sequence[UsageRow]) -> str:
    """The rows as CSV with a header line."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(row.public() for row in rows)
    return text.getvalue()
