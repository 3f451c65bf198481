"""Errors of the plain routes in OpenAI's form."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
)
from gateway.store.redis import StoreDown


def install(app: FastAPI) -> None:
    """Make `app` answer every error in OpenAI's form."""

    async def gateway_error(request: Request, error: Exception) -> Response:
        return response(cast(GatewayError, error))

    async def http_error(request: Request, error: Exception) -> Response:
        status = cast(HTTPException, error).status_code
        if status == 404:
            return response(NotFound(f"There is no {request.method} {request.url.path} here."))
        if status == 405:
            return response(
                MethodNotAllowed(f"{request.url.path} does not answer to {request.method}.")
            )
        return response(Forbidden("This request can't be answered."))

    async def invalid(request: Request, error: Exception) -> Response:
        fault = cast(RequestValidationError, error).errors()[0]
        field = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query"))
        return response(InvalidRequest(f"'{field}': {fault['msg']}.", param=field or None))

    async def store_down(request: Request, error: Exception) -> Response:
        return response(
            StoreUnavailable("The store can't be reached; try again shortly.", retry_after_s=2)
        )

    async def internal(request: Request, error: Exception) -> Response:
        return response(InternalError("The gateway failed; its log tells why."))

    app.add_exception_handler(GatewayError, gateway_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StoreDown, store_down)
    app.add_exception_handler(Exception, internal)


def response(error: GatewayError) -> Response:
    """The answer that tells of an error."""
    made = Response(error.json(), error.status, media_type="application/json")
    for name, value in error.headers():
        made.headers[name.decode()] = value.decode()
    return made
