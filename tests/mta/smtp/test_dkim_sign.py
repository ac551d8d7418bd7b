"""Messages that leave are signed by their author's domain, if it answers for them; another host can verify that."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from mailcore.conf import caches
from mailcore.models import DkimKey, Domain
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import enqueue, states
from mailcore.mta.transports.smtp import dkim_sign
from mailcore.store.access import sieve_scripts
from mailcore.store.settings import dkim_keys as keys
from mailcore.values import Client, MessageRecipient, Owner
from mailcore.wire.sender_auth import dkim

pytestmark = pytest.mark.django_db(transaction=True)

SIGNED_IN = Client("192.0.2.9", "phone.example", protocol="ESMTPSA", login="lisi@benet.com")
STRANGER = Client("192.0.2.7", "other.example", protocol="ESMTP")
HERE = Client("127.0.0.1", "localhost", protocol="SMTP")
FROM_LISI = "From: 李四 <lisi@benet.com>\r\nTo: a@far.example\r\nSubject: Hallo\r\n\r\nEins  \r\nzwei\r\n\r\n".encode()


@pytest.fixture
def signing(benet) -> Domain:
    """benet.com signs with both kinds of keys."""
    domain = Domain.objects.get(name="benet.com")
    for algorithm in DkimKey.Algorithm.values:
        keys.activate_key(domain.pk, keys.create_key(domain.pk, algorithm))
    return domain


@pytest.fixture
def leave(benet, far, dispatch):
    """`leave(content, client, …)`: what another host gets of a message."""

    def hand_over(content: bytes, client: Client = SIGNED_IN, sender: str = "lisi@benet.com", **script: bytes) -> bytes:
        host = far(**script)
        recipients = [MessageRecipient("a@far.example")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MAIL_RELAYHOST", host.hop)
            from mailcore import conf

            conf.refresh()
            enqueue.write_and_enqueue(
                content, sender, recipients, client, states.now_us(), eight_bit=not content.isascii()
            )
            claims = states.claim_due("anna", 1)
            dispatch.submit(deliver.deliver("anna", claims, PendingCleanup()))
            dispatch.wait(60)
        assert dispatch.take_finished()
        return host.content

    return hand_over


def verified(content: bytes) -> list[str]:
    """The algorithms of the signatures that are good."""
    header, _, body = content.partition(b"\r\n\r\n")
    fields = dkim.split_fields(header + b"\r\n")
    made = dkim.BodyHash()
    made.feed(body)
    digest, good = made.end(), []
    for name, field in fields:
        if name != "dkim-signature":
            continue
        tags = dkim.parse_tags(field)
        assert tags["bh"] == digest
        assert tags["d"] == "benet.com"
        row = DkimKey.objects.get(selector=tags["s"])
        unsigned = field[: field.rindex(b"b=") + 2]
        rest = [each for each in fields if each[0] != "dkim-signature"]
        data, signature = dkim.signing_input(rest, tags["h"].split(":"), unsigned), base64.b64decode(tags["b"])
        if tags["a"] == "ed25519-sha256":
            key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(row.public))
            key.verify(signature, hashlib.sha256(data).digest())
        else:
            key = serialization.load_der_public_key(base64.b64decode(row.public))
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        good.append(tags["a"])
    return good


def test_what_a_user_sends_is_signed_with_every_key(signing, leave):
    assert verified(leave(FROM_LISI)) == ["ed25519-sha256", "rsa-sha256"]


def test_a_message_on_disk_is_signed_like_one_in_memory(signing, leave):
    assert len(verified(leave(FROM_LISI + b"x" * 70 + b"\r\n" + b"y\r\n" * 300_000))) == 2


def test_the_signature_covers_what_goes_over_the_wire(signing, leave):
    content = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" + FROM_LISI.replace(
        b"zwei", "二".encode()
    )
    found = leave(content.replace("李四".encode(), b"Li Si"), EHLO=b"250-far.example\r\n250 SIZE\r\n")
    assert found.isascii()
    assert len(verified(found)) == 2


@pytest.mark.parametrize(
    ("content", "client", "sender"),
    [
        (FROM_LISI, STRANGER, "a@other.example"),
        (FROM_LISI, STRANGER, ""),
        (FROM_LISI.replace(b"benet.com", b"other.example"), SIGNED_IN, "lisi@benet.com"),
        (FROM_LISI.replace(b"lisi@benet.com>", b"lisi@benet.com>, x@benet.com"), SIGNED_IN, "lisi@benet.com"),
        (b"From: b@benet.com\r\n" + FROM_LISI, SIGNED_IN, "lisi@benet.com"),
        (b"Subject: nobody\r\n\r\nx\r\n", SIGNED_IN, "lisi@benet.com"),
        (FROM_LISI.replace(b"lisi@", b"admin@"), SIGNED_IN, "lisi@benet.com"),
        (FROM_LISI.replace(b"lisi@", b"xiaoqi@"), SIGNED_IN, "lisi@benet.com"),
        (FROM_LISI.replace(b"lisi@", b"all@"), SIGNED_IN, "all@benet.com"),
    ],
    ids=[
        *("a stranger's forgery", "a forged notice", "another domain", "two authors", "two From", "no From"),
        *("nobody's address", "a colleague's address", "a group's address"),
    ],
)
def test_what_nobody_answers_for_is_not_signed(signing, leave, content, client, sender):
    assert b"DKIM-Signature" not in leave(content, client, sender)


@pytest.mark.parametrize(
    ("content", "client", "is_signed"),
    [
        (FROM_LISI, STRANGER, False),
        (FROM_LISI.replace(b"lisi@", b"admin@"), SIGNED_IN, False),
        (FROM_LISI, SIGNED_IN, True),
    ],
    ids=["a stranger's forgery", "a colleague's forgery", "a colleague's message"],
)
def test_a_redirect_signs_no_forgery(signing, benet, content, client, is_signed):
    """A script of xiaoqi's passes on a message with From: …@benet.com."""
    owner = Owner(benet["xiaoqi"], "xiaoqi@benet.com")
    assert sieve_scripts.put_script(owner, "filters", 'redirect "a@far.example";') is None
    assert sieve_scripts.activate_script(owner, "filters") is None
    enqueue.write_and_enqueue(
        content, "lisi@benet.com", [MessageRecipient("xiaoqi@benet.com")], client, states.now_us(), eight_bit=True
    )
    deliver.deliver("anna", states.claim_due("anna", 1), PendingCleanup())
    [redirected] = [claim for claim in states.claim_due("berta", 9) if claim.pending[0].address == "a@far.example"]
    assert (dkim_sign.plan_signing(redirected) is not None) == is_signed


def test_notices_of_our_own_are_signed(signing, leave):
    assert len(verified(leave(FROM_LISI.replace(b"lisi@", b"MAILER-DAEMON@"), HERE, ""))) == 2


def test_a_key_that_waits_or_is_retired_signs_nothing(benet, leave):
    domain = Domain.objects.get(name="benet.com")
    first = keys.create_key(domain.pk, "rsa-sha256")
    assert b"DKIM-Signature" not in leave(FROM_LISI)
    keys.activate_key(domain.pk, first)
    second = keys.create_key(domain.pk, "rsa-sha256")
    keys.activate_key(domain.pk, second)
    assert verified(leave(FROM_LISI)) == ["rsa-sha256"]
    assert DkimKey.objects.get(pk=first).state == "retired"
    assert b"s=" + DkimKey.objects.get(pk=second).selector.encode() in leave(FROM_LISI)


def test_a_key_under_another_secret_is_said_and_the_message_goes(signing, leave, settings):
    settings.SECRET_KEY = "another"
    caches.clear_all()
    assert b"DKIM-Signature" not in leave(FROM_LISI)


def test_private_keys_are_not_readable_in_the_database(signing):
    assert not any("PRIVATE" in row for row in DkimKey.objects.values_list("secret", flat=True))
