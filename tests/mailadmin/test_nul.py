"""NUL in addresses and forms: no database text can hold it (PostgreSQL says so), and no text of ours needs it."""

import pytest

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SEARCHES = [
    *("/admin/accounts/?q=%00", "/admin/aliases/?q=%00", "/admin/domains/?q=%00", "/admin/queue/?q=a%00b"),
    *("/admin/tracking?q=%00", "/admin/history/?q=%00", "/admin/log?q=%00", "/admin/accounts/?domain=%00"),
    *("/admin/queue/%00", "/admin/tables/%00", "/admin/settings/%00", "/account/tracking?q=%00"),
    *("/?in=%00", "/search/?q=%00", "/login/?next=%00"),
]


@pytest.mark.parametrize("path", SEARCHES)
def test_an_address_with_nul_finds_nothing(visit, path):
    assert visit("ann").get(path).status_code in (200, 302, 404, 502, 503)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/admin/accounts/new", {"local_part": "a\0b", "domain": "1", "password": "a long password\0"}),
        ("/admin/aliases/new", {"local_part": "a\0", "domain": "1", "targets": "lisi\0"}),
        ("/admin/domains/new", {"name": "x\0.example"}),
        ("/admin/simulator", {"sender": "a\0@x.example", "recipient": "lisi\0@benet.com"}),
        ("/account/app-passwords", {"label": "a\0"}),
        ("/login/", {"username": "ann\0", "password": "\0"}),
        ("/language/", {"language": "\0"}),
    ],
)
def test_a_form_with_nul_is_no_fault_of_the_server(visit, path, form):
    assert visit("ann").post(path, form).status_code < 500
