"""All errors that a caller can meet, in one tree; each knows how it looks on the wire.

GatewayError
├── InvalidRequest              400  the body or a header is wrong; names the field
│   ├── ContextLengthExceeded   400  the prompt alone fills the context
│   ├── BodyTooLarge            413
│   ├── BodyTooSlow             408  it did not come within listen.body_timeout_s
│   └── IdempotencyKeyReused    422  the key stands for another request already
├── Unauthorized                401
├── Forbidden                   403  the key may not do this, or not with this model
├── RateLimited                 429  requests, tokens or parallel requests of the key
├── BudgetSpent                 402  its money or reasoning tokens for the day or month
├── NotFound                    404  no such route
│   └── ModelNotFound           404
├── MethodNotAllowed            405
├── StoreUnavailable            503  an unknown key can't be checked now
├── ShuttingDown                503  the gateway stops, and can't wait for the answer's end
├── NotCached                   504  only-if-cached, and no kept answer would do
├── DeadlineExceeded            504  the caller's own time limit ran out
├── InternalError               500  a fault of the gateway itself
└── UpstreamError
    ├── UpstreamRejected        400… the model server refused the request as wrong
    │   └── UpstreamUnfit       400  this model server can't do it; another one may
    ├── UpstreamUnavailable     503  no connection: refused, unknown host, reset at once
    ├── UpstreamBusy            429/503  it asks us to come back later
    ├── Overloaded              503  no place at a replica in time; 429 for who fills the queue
    ├── UpstreamTimeout         504  it took longer than the configured bound
    ├── UpstreamFailed          502  it answered 5xx, or something that isn't an answer
    ├── UpstreamLost            502  it went away in the middle of an answer
    └── NotGoodEnough           502  an answer that is asked for once more
        ├── LanguageMixed       502  it mixes languages
        └── Repeated            502  it repeats itself
"""

from __future__ import annotations

import math
from typing import Any

import orjson


class GatewayError(Exception):
    """A fault with a fixed place on the wire.

    `status` is the HTTP status, `type` and `code` are OpenAI's error fields, `retry` says
    whether the same request may succeed later, `retry_after_s` is sent (whole seconds,
    rounded up, at least 1) on each 429 and 503.
    """

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    retry: bool = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """OpenAI's error body."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def json(self) -> bytes:
        """`body` as JSON bytes."""
        return orjson.dumps(self.body())

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that go with the error: `x-should-retry`, and `retry-after` on 429 and 503."""
        headers = [(b"x-should-retry", b"true" if self.retry else b"false")]
        if self.status in (429, 503):
            seconds = max(1, math.ceil(self.retry_after_s or 1.0))
            headers.append((b"retry-after", str(seconds).encode()))
        return headers


class InvalidRequest(GatewayError):
    """The request is wrong; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    """The prompt alone fills the model's context, so not even one token can be answered."""

    code = "context_length_exceeded"


class BodyTooLarge(InvalidRequest):
    """The body is longer than `listen.max_body_bytes`."""

    status = 413
    code = "body_too_large"


class BodyTooSlow(InvalidRequest):
    """The body did not come within `listen.body_timeout_s`."""

    status = 408
    code = "body_timeout"


class IdempotencyKeyReused(InvalidRequest):
    """An `Idempotency-Key` came before with another body."""

    status = 422
    code = "idempotency_key_reused"


class Unauthorized(GatewayError):
    """No key, a malformed key, or a key that does not exist."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The challenge that HTTP asks for with a 401."""
        return [*super().headers(), (b"www-authenticate", b'Bearer realm="r1"')]


class Forbidden(GatewayError):
    """The caller is known, but may not do this."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class RateLimited(GatewayError):
    """The key has used up a limit; `retry_after_s` says when it will have room again."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    retry = True


class BudgetSpent(GatewayError):
    """A budget of the key is used up until the next day or month, by UTC."""

    status = 402
    type = "insufficient_quota"
    code = "insufficient_quota"


class NotFound(GatewayError):
    """No such route."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No model has this id or alias."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The route exists, but not for this HTTP method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class StoreUnavailable(GatewayError):
    """Redis can't be reached, and what was asked for isn't known here."""

    status = 503
    type = "server_error"
    code = "store_unavailable"
    retry = True


class ShuttingDown(GatewayError):
    """The gateway stops, and the answer took longer than it waits for (`drain_timeout_s`)."""

    status = 503
    code = "shutting_down"
    retry = True


class NotCached(GatewayError):
    """The caller wants a kept answer or none (`Cache-Control: only-if-cached`)."""

    status = 504
    type = "invalid_request_error"
    code = "not_cached"


class DeadlineExceeded(GatewayError):
    """The answer was not complete within the time that the caller gave."""

    status = 504
    code = "deadline_exceeded"


class InternalError(GatewayError):
    """A fault of the gateway itself; the log has the details under the request id."""

    retry = True


class UpstreamError(GatewayError):
    """The model server could not give an answer. `outcome` is the label in the metrics."""

    status = 502
    type = "server_error"
    code = "upstream_error"
    retry = True
    outcome = "error"


class UpstreamRejected(UpstreamError):
    """The model server refused the request as wrong (4xx): the caller's to mend."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    retry = False
    outcome = "rejected"


class UpstreamUnfit(UpstreamRejected):
    """This kind of model server can't do what is asked; nobody was asked yet."""

    outcome = "unfit"


class UpstreamUnavailable(UpstreamError):
    """No connection to the model server."""

    status = 503
    code = "upstream_unavailable"
    outcome = "unavailable"


class UpstreamBusy(UpstreamError):
    """The model server asks for a later try (429 or 503)."""

    status = 503
    code = "upstream_busy"
    outcome = "busy"

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        if status == 429:
            self.type = "rate_limit_error"


class Overloaded(UpstreamError):
    """No place at a replica comes free in time; nobody was asked.

    `hog`: the caller's own requests are most of those that wait.
    """

    status = 503
    code = "overloaded"
    outcome = "shed"

    def __init__(
        self, message: str, *, hog: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        if hog:
            self.status = 429
            self.type = "rate_limit_error"


class UpstreamTimeout(UpstreamError):
    """The model server was slower than a configured bound."""

    status = 504
    code = "upstream_timeout"
    outcome = "timeout"


class UpstreamFailed(UpstreamError):
    """The model server answered with a fault of its own, or with something unreadable."""

    code = "upstream_error"
    outcome = "failed"


class UpstreamLost(UpstreamError):
    """The connection ended in the middle of an answer."""

    code = "upstream_lost"
    outcome = "lost"


class NotGoodEnough(UpstreamError):
    """An answer that is asked for once more; callers never meet this."""


class LanguageMixed(NotGoodEnough):
    """The answer mixes languages."""

    outcome = "mixed"


class Repeated(NotGoodEnough):
    """The answer repeats itself."""

    outcome = "repeated"


class ClientDisconnected(Exception):
    """The caller went away; nobody is left to tell."""
