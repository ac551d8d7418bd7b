"""Signing in at a relay host: with what the table says, and never where somebody could listen."""

import base64

import pytest

from mailcore.models import Queued, Recipient
from mailcore.mta.workers.courier import Courier
from mailcore.store.settings import lookup_tables
from tests.mta.smtp.conftest import far  # noqa: F401  (fixture)

pytestmark = pytest.mark.django_db(transaction=True)

OFFERS_AUTH = {"EHLO": b"250-far.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"}


@pytest.fixture
def through(post, far, parameters):  # noqa: F811
    """Post a message through a relay host that answers by this script, and say what became of it."""

    def send(script: dict[str, bytes], **values: str):
        host = far(**script)
        parameters(relayhost=host.hop, **values)
        lookup_tables.replace_entries("sasl_passwd", {host.hop: "user:secret"})
        post("x@remote.example")
        Courier().run_until_idle()
        return host, Recipient.objects.get(), Queued.objects.get().state

    return send


def test_signing_in(through):
    script = {**OFFERS_AUTH, "AUTH": b"235 2.7.0 Authentication successful\r\n"}
    host, recipient, state = through(script, smtp_sasl_security_options="noanonymous")
    assert (recipient.state, state) == ("delivered", "done"), recipient.reason
    [said] = [command for command in host.commands if command.startswith("AUTH")]
    assert base64.b64decode(said.split()[-1]) == b"\0user\0secret"


def test_no_password_goes_out_in_the_clear(through):
    host, recipient, state = through(OFFERS_AUTH)
    assert (recipient.state, recipient.dsn, state) == ("waiting", "4.7.8", "deferred")
    assert not [command for command in host.commands if command.startswith("AUTH")]


@pytest.mark.parametrize(
    "script",
    [{**OFFERS_AUTH, "AUTH": b"535 5.7.8 Error: authentication failed\r\n"}, {}],
)
def test_mail_waits_until_the_administrator_has_mended_the_password(through, script):
    _, recipient, state = through(script, smtp_sasl_security_options="noanonymous")
    assert (recipient.state, recipient.dsn, state) == ("waiting", "4.7.8", "deferred")
    assert "secret" not in recipient.reason
