"""PAM and an OAuth server as judges: libpam with a service file of our own, a real HTTP server."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.hashers import make_password

from mailcore.store import directory
from mailcore.store.auth import account_login, oauth, pam

pytestmark = pytest.mark.django_db


@pytest.fixture
def lisi() -> int:
    directory.create_domain("benet.com")
    return directory.create_account("lisi@benet.com", "", password_hash=make_password("her own"))


@pytest.fixture
def service(tmp_path: Path, settings) -> Iterator[str]:
    """A PAM service that lets lisi in with "from pam 北京"."""
    if os.geteuid() != 0 or not Path("/etc/pam.d").is_dir():
        pytest.skip("/etc/pam.d is not ours to write")
    script = tmp_path / "judge"
    script.write_text('#!/bin/sh\nread -r given\n[ "$PAM_USER" = lisi ] && [ "$given" = "from pam 北京" ]\n')
    script.chmod(0o755)
    name = f"youju-test-{os.getpid()}"
    path = Path("/etc/pam.d") / name
    path.write_text(f"auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n")
    settings.PAM_SERVICE = name
    settings.AUTHENTICATION_BACKENDS = [
        "mailcore.store.auth.pam.PamBackend",
        "mailcore.store.auth.account_login.AccountBackend",
    ]
    yield name
    path.unlink()


def opens(name: str, password: str) -> bool:
    return account_login.log_in(name, password, "imap", "192.0.2.1") is not None


def test_pam_judges(lisi, service):
    assert opens("lisi", "from pam 北京")
    assert not opens("lisi", "from pam")
    assert not opens("lisi", "")
    assert not opens("nobody", "from pam 北京")
    assert opens("lisi", account_login.make_app_password(lisi, "phone"))
    directory.change_account(lisi, directory.AccountDraft(state="off"))
    assert not opens("lisi", "from pam 北京")


def test_a_service_pam_does_not_know(lisi):
    assert not pam.check_password("youju-no-such-service", "lisi", "x")


class Issuer(BaseHTTPRequestHandler):
    tokens = {
        "by-email": {"active": True, "email": "lisi@benet.com", "username": "x"},
        "by-name": {"active": True, "username": "lisi"},
        "old": {"active": False, "email": "lisi@benet.com"},
        "odd": {"active": True, "email": 7},
    }

    def do_POST(self) -> None:
        given = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["token"][0]
        right = self.headers["Authorization"] == "Basic bWFpbDpzZWNyZXQ6"  # mail:secret:
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(b"[" if given == "broken" else json.dumps(self.tokens.get(given, {"active": False})).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def issuer(settings) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.OAUTH_INTROSPECTION_URL = f"http://mail:secret%3A@127.0.0.1:{server.server_port}/introspect"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("token", "address"),
    [
        ("by-email", "lisi@benet.com"),
        ("by-name", "lisi"),
        ("old", None),
        ("odd", None),
        ("other", None),
        ("broken", None),
    ],
)
def test_the_server_that_issued_a_token_is_asked(issuer, token, address):
    assert oauth.introspect_token(token) == address


def test_a_token_signs_in(lisi, issuer, settings):
    settings.OAUTH_VERIFIER = "mailcore.store.auth.oauth.introspect_token"
    assert account_login.log_in_with_token("", "by-name", "imap", "192.0.2.1")
    assert not account_login.log_in_with_token("xiaoqi", "by-name", "imap", "192.0.2.1")


def test_an_issuer_that_is_away_or_does_not_know_us(issuer, settings):
    settings.OAUTH_INTROSPECTION_URL = settings.OAUTH_INTROSPECTION_URL.replace("secret", "guess")
    assert oauth.introspect_token("by-email") is None
    settings.OAUTH_INTROSPECTION_URL = "http://127.0.0.1:9/"
    assert oauth.introspect_token("by-email") is None
