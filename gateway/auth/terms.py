"""What a key may do and how much of it: its terms, checked wherever a key is declared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Scope = Literal["inference", "batch", "admin"]
Priority = Literal["high", "normal", "low"]
# Numbers in Lua are doubles: whole up to 2^53.
Count = Annotated[int, Field(ge=1, le=10**12)]
Dollars = Annotated[float, Field(gt=0, le=10**6)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _unix_time(value: Any) -> Any:
    """Seconds since 1970 from a date or a time as text; UTC where it names no zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(
                "must be a time such as 2027-01-31T12:00:00Z, or seconds since 1970"
            ) from error
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    return value


UnixTime = Annotated[int, BeforeValidator(_unix_time), Field(ge=0, le=10**11)]


class Terms(BaseModel):
    """The terms of a key. None: without that limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[ModelName, ...] = ()
    """Ids or aliases of the models it may use; all when empty."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = ("inference",)
    """inference: the API; admin: `/admin/…`; batch: jobs."""
    rpm: Count | None = None
    """Requests in any 60 seconds."""
    tpm: Count | None = None
    """Tokens, prompt and answer together, in any 60 seconds."""
    parallel: Count | None = None
    """Requests at the same time."""
    usd_per_day: Dollars | None = None
    usd_per_month: Dollars | None = None
    """Money budgets; days and months are UTC's."""
    reasoning_tokens_per_day: Count | None = None
    reasoning_tokens_per_month: Count | None = None
    """Budgets of reasoning tokens."""
    expires: UnixTime | None = None
    """When the key ends, in seconds since 1970."""
    priority: Priority = "normal"
    """Its place where requests wait."""

    @property
    def budgeted(self) -> bool:
        """True if it has a budget of money or reasoning tokens."""
        return not (
            self.usd_per_day is None
            and self.usd_per_month is None
            and self.reasoning_tokens_per_day is None
            and self.reasoning_tokens_per_month is None
        )

    @property
    def bounded(self) -> bool:
        """True if a request has to be counted before it may go on."""
        return self.budgeted or not (
            self.rpm is None and self.tpm is None and self.parallel is None
        )


class NewKey(Terms):
    """A key to be made: whose it is and what for, and its terms."""

    name: Name
    tenant: Name = "default"

    def terms(self) -> Terms:
        """The terms alone."""
        return Terms.model_construct(
            **{field: getattr(self, field) for field in Terms.model_fields}
        )
