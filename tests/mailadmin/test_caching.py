"""No page of accounts and administration stays in a cache, wherever a route leads."""

import pytest
from django.urls import URLPattern, get_resolver

from mailadmin import urls
from mailcore import stylesheet


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
    assert "max-age=86400" in client.get("/static/webmail.js")["Cache-Control"]


def test_a_style_sheet_stays_cached_while_it_is_the_present_one(client):
    for name in ("webmail", "admin"):
        present = client.get(stylesheet.url(name))
        assert present["Content-Type"] == "text/css; charset=utf-8"
        assert present["Cache-Control"] == "public, max-age=31536000, immutable"
        assert present.content == stylesheet.content(name)
    earlier = client.get("/styles/admin-0123456789ab.css")
    assert (earlier.content, earlier["Cache-Control"]) == (stylesheet.content("admin"), "public, max-age=60")
    assert client.get("/styles/nothing-0123456789ab.css").status_code == 404
