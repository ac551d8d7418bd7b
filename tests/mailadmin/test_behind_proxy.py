"""Behind a web server of one's own the client is who that server says, and nobody else."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from mailcore.middleware.forwarded import forwarded_middleware


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7", "192.0.2.7"),  # the first one anybody may have written
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_last_address_counts(forwarded, client):
    seen = []
    answer = forwarded_middleware(lambda request: seen.append(request.META["REMOTE_ADDR"]) or HttpResponse())
    answer(RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}))
    assert seen == [client]


@pytest.mark.parametrize("forwarded", ["", "unknown", "192.0.2.7, unknown", "192.0.2.7,", "192.0.2.7:80"])
def test_without_a_readable_address_it_is_refused(forwarded):
    answer = forwarded_middleware(lambda request: HttpResponse("in"))
    assert answer(RequestFactory().get("/", headers={"X-Forwarded-For": forwarded})).status_code == 400
    assert answer(RequestFactory().get("/healthz", headers={"X-Forwarded-For": forwarded})).status_code == 200
