"""Who may come in with a token, and how a refusal is said: application/problem+json (RFC 9457)."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from django.http import HttpRequest, JsonResponse
from django.utils import translation

from mailadmin.api import shapes
from mailadmin.api.answers import Answer, Missing
from mailadmin.api.operations import OPERATIONS, Operation
from mailadmin.permissions import Reach, reach_of
from mailcore.store import apitokens, audit
from mailcore.store.directory import Problem
from mailcore.store.login import AccountBackend

log = logging.getLogger("mailadmin")


def problem(status: int, detail: str = "", errors: Mapping[str, str] | None = None) -> JsonResponse:
    said: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        said["detail"] = detail
    if errors:
        said["errors"] = [{"field": name, "message": why} for name, why in errors.items()]
    response = JsonResponse(said, status=status, content_type="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="youju"'
    return response


def view(path: str):  # type: ignore[no-untyped-def]
    """The view of one path: its methods are the table's."""
    methods = {each.method: each for each in OPERATIONS if each.path == path}

    def answer(request: HttpRequest, **named: str) -> JsonResponse:
        operation = methods.get("GET" if request.method == "HEAD" else request.method or "")
        if operation is None:
            response = problem(405)
            response["Allow"] = ", ".join(sorted(methods))
        else:
            with translation.override("en"):
                response = _answer(request, operation, named)
        response["Cache-Control"] = "no-store"
        return response

    answer.csrf_exempt = True  # type: ignore[attr-defined]  # no cookie opens anything here
    return answer


def _answer(request: HttpRequest, operation: Operation, named: Mapping[str, str]) -> JsonResponse:
    reach = _reach(request)
    if reach is None:
        return problem(401, "A token is needed: Authorization: Bearer …")
    if not operation.allows(reach):
        return problem(403, "This token, or its owner's role, does not reach so far.")
    if errors := shapes.wrong_query(operation.query, request.GET):
        return problem(422, "The address has parameters that do not fit.", errors)
    given: dict[str, object] = {}
    if operation.body is not None:
        try:
            given = json.loads(request.body or b"null")
        except (ValueError, RecursionError):
            return problem(400, "The body is no JSON.")
        if errors := shapes.wrong(operation.body, given, "body"):
            return problem(422, "The body does not have the form it needs.", errors)
    try:
        with audit.by(reach.visitor.address, str(request.META.get("REMOTE_ADDR", ""))):
            found: Answer = operation.run(reach, given, request.GET, **named)
    except Missing:
        return problem(404, "There is none such, or it is not within reach.")
    except Problem as refused:
        fields = {name or "body": words for name, words in refused.fields.items()}
        return problem(422, "This cannot be done.", fields)
    if operation.method != "GET":
        log.info("%s: %s %s", reach.visitor.address, operation.method, request.path)
    return JsonResponse(found.body, status=found.status, safe=False, json_dumps_params={"ensure_ascii": False})


def _reach(request: HttpRequest) -> Reach | None:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    found = apitokens.holder(token.strip())
    account = AccountBackend().get_user(found[0]) if found else None
    if found is None or account is None:
        return None
    reach = reach_of(account)
    return reach if found[1] else replace(reach, changes=False)
