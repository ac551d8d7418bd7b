"""No page of accounts and administration stays in a cache, wherever a route leads."""

import pytest
from django.urls import URLPattern, get_resolver

from mailadmin import urls


def routes(people: object) -> list[str]:
    """Return every path of the administration; object ids and names are examples."""
    pattern_names = [each.name for each in urls.urlpatterns if isinstance(each, URLPattern)]
    found = []
    for name in pattern_names:
        for template, arguments in get_resolver(None).namespace_dict["mailadmin"][1].reverse_dict.getlist(name)[0][0]:
            samples = dict.fromkeys(arguments, 1) | {"kind": "accounts", "name": "myhostname", "queue_id": "ABC"}
            found.append("/" + template % {key: samples[key] for key in arguments})
    return found


def is_kept_nowhere(response) -> bool:
    return "no-store" in response.get("Cache-Control", "")


@pytest.mark.django_db
@pytest.mark.parametrize("visitor", ["ann", "dora", "lisi", ""])
def test_nothing_is_stored(office, visit, client, visitor):
    browser = visit(visitor) if visitor else client
    paths = routes(office)
    assert len(paths) > 40
    for path in paths:
        assert is_kept_nowhere(browser.get(path)), path
        assert is_kept_nowhere(browser.post(path)), path


def test_static_files_stay_cached(client):
    assert "max-age=86400" in client.get("/static/base.css")["Cache-Control"]
