"""Passkeys: what a browser says is believed only if every part of it fits."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mailcore.store.auth import webauthn
from mailcore.store.auth.webauthn import InvalidAssertion, Passkey, RelyingParty

SITE = RelyingParty("mail.benet.com", "https://mail.benet.com")
HANDLE = b"credential 7"


class Authenticator:
    """A security key. Whatever it says can be said wrong: `kind`, `challenge`, `origin`, `host`, `flags`, `counter`."""

    def __init__(self, key=None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return webauthn.encode(self.key.public_key().public_bytes(serialization.Encoding.DER, form))

    def client(self, kind: str, challenge: str = "abc", origin: str = SITE.origin) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()

    def data(self, *, host: str = SITE.host, flags: int = 0x05, counter: int = 7, made: bool = False) -> bytes:
        raw = hashlib.sha256(host.encode()).digest() + bytes([flags | (0x40 if made else 0)]) + counter.to_bytes(4)
        return raw + (bytes(16) + len(HANDLE).to_bytes(2) + HANDLE + b"\xa5" if made else b"")

    def make(self, handle: bytes = HANDLE, public: str = "", **wrong) -> Passkey:
        said = {name: wrong.pop(name) for name in ("challenge", "origin") if name in wrong}
        client = self.client(wrong.pop("kind", "webauthn.create"), **said)
        data = self.data(made=wrong.pop("made", True), **wrong)
        return webauthn.verify_registration(
            SITE, "abc", webauthn.encode(handle), webauthn.encode(client), webauthn.encode(data), public or self.public
        )

    def show(self, passkey: Passkey, signature: bytes = b"", **wrong) -> int:
        said = {name: wrong.pop(name) for name in ("challenge", "origin") if name in wrong}
        client, data = self.client(wrong.pop("kind", "webauthn.get"), **said), self.data(**{"counter": 8, **wrong})
        signed = signature or self.sign(data + hashlib.sha256(client).digest())
        return webauthn.verify_assertion(
            SITE, "abc", passkey, *(webauthn.encode(each) for each in (client, data, signed))
        )

    def sign(self, raw: bytes) -> bytes:
        match self.key:
            case ec.EllipticCurvePrivateKey():
                return self.key.sign(raw, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPrivateKey():
                return self.key.sign(raw, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(raw)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ES256", "Ed25519", "RS256"],
)
def test_a_key_is_made_and_shown(key):
    device = Authenticator(key)
    passkey = device.make()
    assert webauthn.decode(passkey.handle) == HANDLE
    assert passkey.counter == 7
    assert device.show(passkey) == 8


WRONG = [
    {"kind": "webauthn.other"},
    {"challenge": "another"},
    {"challenge": "\ud800"},
    {"challenge": ""},
    {"origin": "https://mail.benet.com.evil.example"},
    {"origin": "http://mail.benet.com"},
    {"host": "evil.example"},
    {"flags": 0x04},
]


@pytest.mark.parametrize("wrong", [*WRONG, {"made": False}, {"handle": b"another"}, {"public": "bm9uZQ"}], ids=str)
def test_a_key_that_is_not_made_here_and_now(wrong):
    with pytest.raises(InvalidAssertion):
        Authenticator().make(**wrong)


@pytest.mark.parametrize("wrong", [*WRONG, {"signature": b"nonsense"}, {"counter": 7}, {"counter": 0}], ids=str)
def test_a_key_that_is_not_shown_here_and_now(wrong):
    device = Authenticator()
    with pytest.raises(InvalidAssertion):
        device.show(device.make(), **wrong)


def test_another_key_is_another():
    with pytest.raises(InvalidAssertion):
        Authenticator().show(Authenticator().make())


def test_keys_without_a_counter_are_borne():
    device = Authenticator()
    passkey = device.make(counter=0)
    assert device.show(passkey, counter=0) == 0


@pytest.mark.parametrize("text", ["!", "a", "{}", base64.b64encode(b"null").decode(), ""])
def test_nonsense_is_no_proof(text):
    device = Authenticator()
    passkey = device.make()
    with pytest.raises(InvalidAssertion):
        webauthn.verify_assertion(SITE, "abc", passkey, text, text, text)
    with pytest.raises(InvalidAssertion):
        webauthn.verify_registration(SITE, "abc", text, text, text, text)


def test_without_a_challenge_nothing_is_asked():
    device = Authenticator()
    passkey = device.make()
    client, data = device.client("webauthn.get", ""), device.data(counter=9)
    said = [client, data, device.sign(data + hashlib.sha256(client).digest())]
    with pytest.raises(InvalidAssertion):
        webauthn.verify_assertion(SITE, "", passkey, *map(webauthn.encode, said))
