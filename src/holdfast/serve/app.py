"""The HTTP application: paths, error bodies and headers around a `Service`."""

# no "from __future__ import annotations": FastAPI reads the types of functions that are defined in one

import base64
import json
import logging
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.serve.limits import RequestError
from holdfast.serve.page import docs_page, page
from holdfast.serve.service import Service, described, state

LOG = logging.getLogger("holdfast.serve")
PIXEL = base64.b64encode(b"the bytes of an image file").decode()
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "contentEncoding": "base64"},
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "contentEncoding": "base64"},
                        },
                        "features": {
                            "type": "array",
                            "items": {"type": "array", "items": {"type": "number"}},
                        },
                    },
                },
                "example": {"images": [PIXEL]},
            },
        },
    }
}
ANSWER = {
    "version": 2,
    "calibrated": True,
    "predictions": [
        {
            "class": "cat",
            "probability": 0.93,
            "unknown": False,
            "top": [{"class": "cat", "probability": 0.93}, {"class": "dog", "probability": 0.07}],
        }
    ],
}
REFUSALS = {
    408: "the body came too slowly",
    413: "more bytes, inputs or pixels than the limits",
    415: "a content type that is not read",
    422: "no image that can be read, or features of another shape",
    503: "too many requests at once, or one that took too long; see Retry-After",
}
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(service: Service) -> Any:
    """The application (of FastAPI) that answers with a service.

    Raises:
        ConfigError: without the extra ``holdfast[serve]``.
    """
    try:
        from fastapi import FastAPI, Query, Request, Response
    except ImportError as error:
        raise missing(error) from None

    class Plain(Response):
        """JSON in ASCII: no name of a class reaches a terminal as it stands."""

        media_type = "application/json"

        def render(self, content: Any) -> bytes:
            return json.dumps(content, allow_nan=False).encode()

    app = FastAPI(
        title="holdfast", version=str(service.follower.served.version), docs_url=None,
        redoc_url=None, default_response_class=Plain, summary="Predictions of a stored model.",
    )  # fmt: skip

    @app.post("/predict", responses=_responses(), openapi_extra=BODY)
    async def predict(
        request: Request,
        top: int | None = Query(None, ge=1, le=1000, description="classes listed an input"),
        false_alarms: float | None = Query(
            None, gt=0, lt=1, description="share of known inputs that may be called unknown"
        ),
    ):
        """The class of one image or of many: as the body itself, as files, or as base64 in JSON.

        Feature vectors come as JSON. An image among several that cannot be read has `error` in its place.
        """
        kind = request.headers.get("content-type", "")
        return Plain(await service.predict(kind, request.stream(), top, false_alarms))

    @app.get("/health")
    async def health():
        """Whether the server answers, by which version, and why a newer one is not used."""
        return Plain(state(service))

    @app.get("/model")
    async def model():
        """What answers: classes, version, input, what is stored of the data, limits."""
        return Plain(described(service))

    @app.get("/", include_in_schema=False)
    async def start():
        text, policy = page()
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

    @app.get("/docs", include_in_schema=False)
    async def docs():
        text, policy = docs_page(app.openapi())
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

    _errors(app, Plain)
    return app


def missing(error: ImportError) -> ConfigError:
    """What to install for a module that serving needs."""
    return ConfigError(f"serving a model needs {error.name}: pip install 'holdfast[serve]'.")


def _responses() -> dict[int | str, dict[str, Any]]:
    answer = {200: {"content": {"application/json": {"example": ANSWER}}}}
    refusals = {
        code: {
            "description": text,
            "content": {"application/json": {"example": {"error": f"{text}."}}},
        }
        for code, text in REFUSALS.items()
    }
    return {**answer, **refusals}


def _errors(app: Any, plain: Any) -> None:
    """Every error is a sentence, without a traceback; every answer says what a browser may do with it."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError):
        retry = {} if error.retry is None else {"Retry-After": str(error.retry)}
        return plain({"error": error.sentence}, error.status, retry)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError):
        first = error.errors()[0]
        return plain({"error": f"{first['loc'][-1]}: {first['msg']}."}, 422)

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException):
        hint = "POST /predict, GET /health, /model, / and /docs are here"
        return plain({"error": f"{error.detail}: {hint}."}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect):
        return plain({"error": "the client went away."}, 400)

    @app.middleware("http")
    async def safe(request: Request, call_next: Any):
        try:
            response = await call_next(request)
        except Exception:  # told to the log, not to the client
            LOG.exception("a request failed")
            response = plain({"error": "the server failed on this request; its log says why."}, 500)
        for name, value in SAFE.items():
            response.headers[name] = value
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
        response.headers.setdefault("Cache-Control", "no-store")
        return response
