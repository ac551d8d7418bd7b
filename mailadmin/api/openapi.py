"""The API's OpenAPI 3.1 document, generated from the table of operations."""

import functools
import re
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from mailadmin.api.operations import OPERATIONS, Operation
from mailadmin.api.schemas import ANSWERS

_PROBLEM = {"$ref": "#/components/responses/Problem"}


@functools.cache
def build_document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(f"/{each.path}", {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Youju", "version": "1", "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"}},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "created under My account → API tokens"}
            },
            "schemas": {"Problem": _problem_schema(), **ANSWERS},
            "responses": {
                "Problem": {
                    "description": "RFC 9457",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _operation(each: Operation) -> dict[str, Any]:
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 320}}
        for name in re.findall(r"\{(\w+)\}", each.path)
    ]
    query_parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in each.query.items()]
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{each.answer}"}
    if each.query:
        schema = _page_schema(schema)
    success = {"description": "done", "content": {"application/json": {"schema": schema}}}
    responses = {"201" if each.creates else "200": success, "401": _PROBLEM, "403": _PROBLEM, "422": _PROBLEM}
    if path_parameters or each.body is not None:
        responses["404"] = _PROBLEM
    if each.body is not None:
        responses["400"] = _PROBLEM
    operation: dict[str, Any] = {
        "operationId": each.run.__name__,
        "summary": each.summary,
        "parameters": path_parameters + query_parameters,
        "responses": dict(sorted(responses.items())),
    }
    if each.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": each.body}}}
    return operation


def _problem_schema() -> dict[str, Any]:
    error = {"type": "object", "properties": {"field": {"type": "string"}, "message": {"type": "string"}}}
    return {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
            "detail": {"type": "string"}, "errors": {"type": "array", "items": error},
        },
    }  # fmt: skip


def _page_schema(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "page", "pages", "count"],
        "additionalProperties": False,
        "properties": {
            "items": {"type": "array", "items": item},
            "page": {"type": "integer"}, "pages": {"type": "integer"}, "count": {"type": "integer"},
        },
    }  # fmt: skip


@require_safe
def openapi(request: HttpRequest) -> JsonResponse:
    """Return the document; it is public, for it discloses nothing of this installation."""
    return JsonResponse(build_document())
