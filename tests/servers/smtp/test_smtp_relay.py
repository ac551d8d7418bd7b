"""Nothing a stranger writes into RCPT TO makes us send his message on: the tricks of thirty years."""

import pytest
from django.contrib.auth.hashers import make_password

from mailcore.conf import caches
from mailcore.models import Queued
from mailcore.mta.policy.restrictions.recipients import is_local_destination
from mailcore.store import directory
from smtp_talk import extended, greeted, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

_DENIED = "554 5.7.1 "
_SYNTAX = "501 5.1.3 Bad recipient address syntax"
_UNKNOWN = "550 5.1.1 "


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("a@far.example", _DENIED),
        ("A@FAR.EXAMPLE", _DENIED),
        ("a@far.example.", _DENIED),
        ("a@[192.0.2.1]", _DENIED),
        ("a@[IPv6:2001:db8::1]", _DENIED),
        ("a@[127.0.0.1]", _UNKNOWN),  # an address of this machine is local, as in Postfix
        ("a%far.example@benet.com", _DENIED),
        ("a%far.example%benet.com@benet.com", _DENIED),
        ("a%far.example@mail.benet.com", _DENIED),
        ("a%far.example@localhost", _DENIED),
        ("a%far.example", _DENIED),
        ("a%far.example@[127.0.0.1]", _DENIED),
        ("far.example!a", _DENIED),
        ("far.example!a@benet.com", _DENIED),
        ("benet.com!far.example!a", _DENIED),
        ("@benet.com:a@far.example", _DENIED),
        ("@benet.com,@mail.benet.com:a@far.example", _DENIED),
        ("@far.example:a@far.example", _DENIED),
        ("@benet.com:a%far.example@benet.com", _DENIED),
        ('"a@far.example"', _DENIED),
        ('"a@far.example"@benet.com', _DENIED),
        ('"a%far.example"@benet.com', _DENIED),
        ('"far.example!a"@benet.com', _DENIED),
        ('"a"@far.example', _DENIED),
        ("a@far.example@benet.com", _SYNTAX),
        ("a@benet.com@far.example", _SYNTAX),
        ("a@far.example,lisi@benet.com", _SYNTAX),
        ("a@far.example lisi@benet.com", _SYNTAX),
        ("a@benet.com.far.example", _DENIED),
        ("a@far-benet.com", _DENIED),
        ("a@sub.benet.com", _DENIED),
        ("a@.benet.com", _SYNTAX),
        ("a@benet.com..", _SYNTAX),
        ("a@benet..com", _SYNTAX),
        ("a@", _SYNTAX),
        ("@benet.com", _SYNTAX),
        ("", _SYNTAX),
        ("|/bin/sh", _UNKNOWN),
        ("/etc/passwd", _UNKNOWN),
        (":include:/etc/passwd", _SYNTAX),
        ('"|/bin/sh"@benet.com', _UNKNOWN),
        ("ａ@ｆａｒ.example", _DENIED),
        ("a@ｂenet.com", _UNKNOWN),
        ("a@xn--far-example", _DENIED),
        ("postmaster@far.example", _DENIED),
    ],
)
def test_a_stranger_does_not_get_through(smtp, service, recipient, reply):
    client = extended(smtp(service), "LHLO" if service == "lmtp" else "EHLO")
    client.talk("C: MAIL FROM:<stranger@other.example>\nS: 250 2.1.0 Ok")
    client.say(f"RCPT TO:<{recipient}>")
    heard = client.hear()
    assert heard.startswith(reply), heard
    client.talk("C: DATA\nS: 554 5.5.1 Error: no valid recipients")
    assert not Queued.objects.exists()


@pytest.mark.parametrize("sender", ["lisi@benet.com", "", "postmaster", "root@localhost", "a@[127.0.0.1]"])
def test_whatever_he_calls_himself(smtp, sender):
    client = greeted(smtp())
    client.talk(f"C: MAIL FROM:<{sender}>\nS: 250 …\nC: RCPT TO:<a@far.example>\nS: 554 5.7.1 …")


def test_our_own_may(smtp):
    client = signed_in(smtp("submission"))
    client.talk("C: MAIL FROM:<lisi@benet.com>\nS: 250 …\nC: RCPT TO:<a@far.example>\nS: 250 2.1.5 Ok")


@pytest.mark.parametrize("local", ["a%b", "a!b", "x*y", "c{5}d"])
def test_an_account_gets_mail_whatever_signs_its_name_has(smtp, local):
    """A name that routes elsewhere in other systems is an account's here, if there is one; and no other name is."""
    client = greeted(smtp())
    directory.create_account(f"{local}@benet.com", "", password_hash=make_password("x"))
    client.talk(f"C: MAIL FROM:<stranger@other.example>\nS: 250 …\nC: RCPT TO:<{local}@benet.com>\nS: 250 2.1.5 Ok")
    client.talk("C: RCPT TO:<c%b@benet.com>\nS: 554 5.7.1 …")


def test_what_is_ours(benet, parameters):
    parameters(relay_domains="inner.example")
    caches.clear_all()
    assert is_local_destination("lisi@benet.com")
    assert is_local_destination("lisi")
    assert is_local_destination("a@inner.example")
    assert not is_local_destination("a@sub.inner.example")
