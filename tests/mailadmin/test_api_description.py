"""The API keeps to its description, whatever it is sent (schemathesis); a domain administrator reaches no other domain."""

import re

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks

from mailadmin.api.operations import OPERATIONS
from mailcore import conf
from mailcore.conf import caches
from mailcore.models import AccessEntry, Account, Alias, Change, DkimKey, Domain, Queued, Setting
from mailcore.mta.queue import content_files
from mailcore.store import directory
from mailcore.store.credentials import api_tokens
from mailcore.store.settings import dkim_keys, lookup_tables
from nameserver import NameServer

pytestmark = pytest.mark.django_db

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


def test_the_description_names_every_operation(db):
    body = Client().get("/api/v1/openapi.json").json()
    assert body["openapi"] == "3.1.0"
    found = {(method.upper(), path.strip("/")) for path, methods in body["paths"].items() for method in methods}
    assert found == {(each.method, each.path) for each in OPERATIONS}


@pytest.fixture
def api(office, parameters):
    """Return the API as it describes itself, with something of each kind in both domains.

    No name server knows anything.
    """
    server = NameServer({})
    parameters(dns_servers=server.address, dns_timeout="1s")
    content_files.make_directories()
    Queued.objects.create(id=0xABC, state="deferred", due_us=1, received_us=1, size=1, sender="lisi@benet.com")
    lookup_tables.replace_entries("transport", {"far.example": "smtp:[relay]"})
    for domain in (office.benet, office.accp):
        dkim_keys.create_key(domain.pk, "ed25519-sha256")
        directory.change_alias(Alias.objects.get(address=f"all@{domain.name}").pk, ["ann@benet.com"])
    signals = (request_started, request_finished)
    for signal in signals:  # the test's own transaction outlives a request
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
    for signal in signals:
        signal.connect(close_old_connections)
    server.stop()


def real_names(operation) -> dict[str, st.SearchStrategy[str]]:
    """Path parameter → what is there by that name, in whichever domain."""
    first = operation.path.partition("/")[0]
    found = {
        "domains": list(Domain.objects.values_list("name", flat=True)),
        "accounts": list(Account.objects.values_list("address", flat=True)),
        "aliases": list(Alias.objects.values_list("address", flat=True)),
        "queue": ["ABC"],
        "settings": ["message_size_limit", "smtpd_relay_restrictions", "smtpd_recipient_limit"],
        "tables": ["transport", "other"],
        "changes": [str(pk) for pk in Change.objects.order_by("-pk").values_list("pk", flat=True)[:6]],
    }
    selectors = list(DkimKey.objects.values_list("selector", flat=True))
    names = re.findall(r"\{(\w+)\}", operation.path)
    return {name: st.sampled_from(selectors if name == "selector" else found[first]) for name in names}


def belongings_of(domain: Domain) -> object:
    """Everything of a domain, and of the system, that somebody with another domain might permissions for."""
    return (
        Domain.objects.filter(pk=domain.pk).values_list().get(),
        list(Account.objects.filter(domain=domain).order_by("pk").values_list()),
        list(Alias.objects.filter(domain=domain).order_by("pk").values_list()),
        list(DkimKey.objects.filter(domain=domain).order_by("pk").values_list()),
        list(Setting.objects.order_by("pk").values_list()),
        list(AccessEntry.objects.order_by("pk").values_list()),
        list(Queued.objects.order_by("pk").values_list()),
        Domain.objects.count(),
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.run.__name__)
@pytest.mark.parametrize("who", ["ann", "audrey", "dora", "lisi"])
def test_whatever_is_sent_the_answer_is_as_described(office, api, who, operation):
    described = api[f"/{operation.path}"][operation.method]
    token = api_tokens.create_token(getattr(office, who).pk, "test", writes=True, expires=None)
    names = real_names(operation)
    alien = {"dora": "benet.com", "lisi": "accp.com"}.get(who, "")
    before = belongings_of(office.benet)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data) -> None:
        fixed = {"headers": {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}}
        if names and data.draw(st.booleans()):
            fixed["path_parameters"] = {name: data.draw(each) for name, each in names.items()}
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(described.as_strategy(generation_mode=mode, **fixed))
        with transaction.atomic():
            answer = case.call_and_validate(checks=CHECKS)
            if alien:
                assert belongings_of(office.benet) == before
            transaction.set_rollback(True)
        conf.refresh()
        caches.clear_all()
        if alien and answer.status_code < 300:
            sent = f"{case.path_parameters} {case.query} {case.body}"
            found = answer.text.replace("ann@benet.com", "")  # who administrates, and whom an alias of theirs names
            assert alien not in found or alien in sent, answer.text

    holds()
