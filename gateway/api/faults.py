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
)


def install(app: FastAPI) -> None:
    """Make `app` answer every error in OpenAI's form."""

    async def gateway_error(request: Request, error: Exception) -> Response:
        return _response(cast(GatewayError, error))

    async def http_error(request: Request, error: Exception) -> Response:
        status = cast(HTTPException, error).status_code
        if status == 404:
            return _response(NotFound(f"There is no {request.method} {request.url.path} here."))
        if status == 405:
            return _response(
                MethodNotAllowed(f"{request.url.path} does not answer to {request.method}.")
            )
        return _response(Forbidden("This request can't be answered."))

    async def invalid(request: Request, error: Exception) -> Response:
        fault = cast(RequestValidationError, error).errors()[0]
        field = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query"))
        return _response(InvalidRequest(f"'{field}': {fault['msg']}.", param=field or None))

    async def internal(request: Request, error: Exception) -> Response:
        return _response(InternalError("The gateway failed; its log tells why."))

    app.add_exception_handler(GatewayError, gateway_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, internal)


def _response(error: GatewayError) -> Response:
    response = Response(error.json(), error.status, media_type="application/json")
    for name, value in error.headers():
        response.headers[name.decode()] = value.decode()
    return response
