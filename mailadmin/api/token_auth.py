"""Token authentication, execution of operations, and errors as application/problem+json (RFC 9457)."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from django.http import HttpRequest, JsonResponse
from django.utils import translation

from mailadmin.api import schemas
from mailadmin.api.operations import OPERATIONS, Operation
from mailadmin.api.responses import ApiResponse, NotFound
from mailadmin.permissions import Permissions, must_set_up_factor, permissions_of
from mailcore.store.auth.account_login import AccountBackend
from mailcore.store.credentials import api_tokens
from mailcore.store.db import audit
from mailcore.store.directory import DirectoryError

log = logging.getLogger("mailadmin")


def problem_response(status: int, detail: str = "", errors: Mapping[str, str] | None = None) -> JsonResponse:
    problem: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        problem["detail"] = detail
    if errors:
        problem["errors"] = [{"field": name, "message": why} for name, why in errors.items()]
    response = JsonResponse(problem, status=status, content_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="youju"'
    return response


def build_view(path: str):  # type: ignore[no-untyped-def]
    """Return the view of one path; its methods are those of the table."""
    methods = {each.method: each for each in OPERATIONS if each.path == path}

    def view(request: HttpRequest, **named: str) -> JsonResponse:
        operation = methods.get("GET" if request.method == "HEAD" else request.method or "")
        if operation is None:
            response = problem_response(405)
            response["Allow"] = ", ".join(sorted(methods))
        else:
            with translation.override("en"):
                response = _run_operation(request, operation, named)
        response["Cache-Control"] = "no-store"
        return response

    view.csrf_exempt = True  # type: ignore[attr-defined]  # no cookie authenticates here
    return view


def _run_operation(request: HttpRequest, operation: Operation, named: Mapping[str, str]) -> JsonResponse:
    permissions = _authenticate(request)
    if permissions is None:
        return problem_response(401, "A token is required: Authorization: Bearer …")
    if not operation.allows(permissions):
        return problem_response(403, "The token, or its owner's role, does not permit this operation.")
    if errors := schemas.find_query_errors(operation.query, request.GET):
        return problem_response(422, "The URL has invalid parameters.", errors)
    given: dict[str, object] = {}
    if operation.body is not None:
        try:
            given = json.loads(request.body or b"null")
        except (ValueError, RecursionError):
            return problem_response(400, "The body is not valid JSON.")
        if errors := schemas.find_schema_errors(operation.body, given, "body"):
            return problem_response(422, "The body does not match the schema.", errors)
    try:
        with audit.acting_as(permissions.visitor.address, str(request.META.get("REMOTE_ADDR", ""))):
            holder: ApiResponse = operation.run(permissions, given, request.GET, **named)
    except NotFound:
        return problem_response(404, "It does not exist, or it is not visible to this token.")
    except DirectoryError as refused:
        fields = {name or "body": words for name, words in refused.fields.items()}
        return problem_response(422, "This cannot be done.", fields)
    if operation.method != "GET":
        log.info("%s: %s %s", permissions.visitor.address, operation.method, request.path)
    return JsonResponse(holder.body, status=holder.status, safe=False, json_dumps_params={"ensure_ascii": False})


def _authenticate(request: HttpRequest) -> Permissions | None:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    holder = api_tokens.find_holder(token.strip())
    account = AccountBackend().get_user(holder[0]) if holder else None
    if holder is None or account is None:
        return None
    permissions = permissions_of(account)
    if must_set_up_factor(permissions):  # second_factor_roles holds for scripts too
        return None
    return permissions if holder[1] else replace(permissions, changes=False)
