"""DKIM: canonical forms (RFC 6376 §3.4), and the signed message of RFC 8463 Appendix A."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from mailcore.wire.sender_auth import dkim

HEADER = (
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)
BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n"
NAMES = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"]
ED25519 = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
)
ED25519_PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
ED25519_SIGNATURE = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
RSA = ED25519.replace(b"ed25519-sha256", b"rsa-sha256").replace(b"brisbane", b"test")
RSA_PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3Fut"
    "ACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
RSA_SIGNATURE = (
    "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2JzdA"
    "+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
)


def body_hash(data: bytes, piece: int = 1 << 20) -> str:
    made = dkim.BodyHash()
    for at in range(0, len(data), piece):
        made.feed(data[at : at + piece])
    return made.end()


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_the_body_of_rfc_8463(piece):
    assert body_hash(BODY, piece) == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


def test_the_ed25519_signature_of_rfc_8463():
    signed = dkim.signing_input(dkim.split_fields(HEADER), NAMES, ED25519)
    key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(ED25519_PUBLIC))
    key.verify(base64.b64decode(ED25519_SIGNATURE), hashlib.sha256(signed).digest())


def test_the_rsa_signature_of_rfc_8463():
    signed = dkim.signing_input(dkim.split_fields(HEADER), NAMES, RSA)
    key = serialization.load_der_public_key(base64.b64decode(RSA_PUBLIC))
    key.verify(base64.b64decode(RSA_SIGNATURE), signed, padding.PKCS1v15(), hashes.SHA256())


def test_the_relaxed_header_of_rfc_6376():
    fields = dkim.split_fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n")
    assert [dkim.relaxed_field(whole) for _, whole in fields] == [b"a:X", b"b:Y Z"]


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"no line end", b"no line end\r\n"),
        (b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
        (b"   \r\nx\t\t\r\n", b"\r\nx\r\n"),
    ],
)
def test_the_relaxed_body(body, canonical):
    for piece in (1, 3, 1000):
        assert body_hash(body, piece) == base64.b64encode(hashlib.sha256(canonical).digest()).decode()


def test_nobody_may_add_a_field_that_is_signed():
    names = dkim.names_to_sign(dkim.split_fields(HEADER + b"Received: x\r\nCc: a\r\nCc: b\r\n"))
    assert names.count("from") == 2
    assert names.count("subject") == 2
    assert names.count("cc") == 3
    assert "received" not in names
    assert "sender" not in names


def test_the_field_is_folded_and_reads_back():
    tags = [("v", "1"), ("d", "benet.com"), ("h", ":".join(NAMES * 3)), ("bh", "x" * 44)]
    field = dkim.format_field(tags, "y" * 344)
    assert all(len(line) <= 100 or b"h=" in line for line in field.split(b"\r\n"))
    assert dkim.parse_tags(field)["b"] == "y" * 344
    assert dkim.relaxed_field(dkim.format_field(tags)).endswith(b"; b=")


def test_the_records_of_keys():
    assert dkim.key_record("ed25519-sha256", "x") == "v=DKIM1; k=ed25519; p=x"
    assert dkim.key_record("rsa-sha256", "x") == "v=DKIM1; k=rsa; p=x"
