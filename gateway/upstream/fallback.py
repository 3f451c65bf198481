"""Another model answers where the one that was asked for can't."""

from __future__ import annotations

from collections.abc import Callable

from gateway.auth.permit import may_use
from gateway.call import Call
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    Overloaded,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.model_settings import ModelSettings
from gateway.pipeline import Try
from gateway.upstream.pool import Model

_HEADER = "x-r1-fallback"
_CANT_NOW = (
    Overloaded,
    UpstreamUnavailable,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamLost,
)


class Fallback:
    """A `Try`, and the same with the model's fallbacks when the caller wants that.

    `call.model` is then the model that answers, so headers and body say so. When none of them
    answers the error is that of the model that was asked for.
    """

    def __init__(self, attempt: Try, find: Callable[[str], Model]) -> None:
        self._attempt = attempt
        self._find = find

    async def __call__(self, call: Call) -> None:
        """Ask and deliver. Raises GatewayError: of the first model, unless another began."""
        wanted = call.model
        willing = is_willing(wanted.settings, call.header(_HEADER.encode()))
        try:
            await self._attempt(call)
            return
        except UpstreamError as error:
            if call.delivered or not willing or not isinstance(error, _CANT_NOW):
                raise
            first = error
        for name in wanted.settings.fallbacks:
            model = self._find(name)
            if not allowed(call, model):
                continue
            call.model = model
            try:
                await self._attempt(call)
                return
            except GatewayError:
                if call.delivered:
                    raise
        call.model = wanted
        raise first


def is_willing(settings: ModelSettings, wish: str | None) -> bool:
    """Whether another model may answer; `wish` is the caller's header, if there is one.

    Raises InvalidRequest for a wish that is neither allow nor deny.
    """
    if wish not in (None, "allow", "deny"):
        raise InvalidRequest(f"'{_HEADER}' must be 'allow' or 'deny'.", param=_HEADER)
    if settings.fallback_policy == "always":
        return wish != "deny"
    return settings.fallback_policy == "caller" and wish == "allow"


def allowed(call: Call, model: Model) -> bool:
    """Whether the caller's key may use `model`."""
    return call.key is None or may_use(call.key, model.settings)
