"""Passkeys as a second factor: verification according to W3C Web Authentication (§7.1, §7.2).

No attestation is requested, since the make of the authenticator does not matter. The browser passes the public key in
the form `cryptography` reads (SubjectPublicKeyInfo), beside the authenticator data; both come from the user who is
logged in, so neither needs a CBOR parser.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

_PRESENT, _ATTESTED = 0x01, 0x40  # flags of authenticator data (§6.1)
ALGORITHMS = (-8, -7, -257)  # COSE: Ed25519, ES256, RS256


class InvalidAssertion(Exception):
    """Raised when a registration or assertion does not verify; its text is for the log."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site that a passkey belongs to; the host is the relying party's id."""

    host: str
    origin: str  # "https://mail.benet.com"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered key: base64url credential id, base64 SubjectPublicKeyInfo, signature counter."""

    handle: str
    public: str
    counter: int


def decode(text: str) -> bytes:
    """Decode base64url without padding; raise InvalidAssertion if it is invalid."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidAssertion("not base64url") from error


def encode(data: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def verify_registration(
    site: RelyingParty, challenge: str, handle: str, client: str, authenticator: str, public: str
) -> Passkey:
    """Return the passkey a browser created for `challenge`; raise InvalidAssertion if it does not verify.

    The other arguments are as the browser posted them, base64url.
    """
    _check_client(site, challenge, "webauthn.create", decode(client))
    data = decode(authenticator)
    counter = _check_authenticator(site, data)
    if not data[32] & _ATTESTED or len(data) < 55:
        raise InvalidAssertion("no credential in the authenticator's data")
    length = int.from_bytes(data[53:55])
    if not length or data[55 : 55 + length] != decode(handle):
        raise InvalidAssertion("credential id mismatch")
    key = decode(public)
    _load(key)
    return Passkey(encode(decode(handle)), base64.b64encode(key).decode(), counter)


def verify_assertion(
    site: RelyingParty, challenge: str, passkey: Passkey, client: str, authenticator: str, signature: str
) -> int:
    """Return the key's new counter if its holder signed `challenge`; raise InvalidAssertion otherwise."""
    client_data, data = decode(client), decode(authenticator)
    _check_client(site, challenge, "webauthn.get", client_data)
    counter = _check_authenticator(site, data)
    _check_signature(base64.b64decode(passkey.public), data + hashlib.sha256(client_data).digest(), decode(signature))
    if (counter or passkey.counter) and counter <= passkey.counter:
        raise InvalidAssertion("the key's counter went backwards: it may have been copied")
    return counter


def _check_client(site: RelyingParty, challenge: str, kind: str, client_data: bytes) -> None:
    try:
        fields = json.loads(client_data)
        received = fields["type"], fields["challenge"], fields["origin"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # RecursionError: brackets nested 1000 deep
        raise InvalidAssertion("invalid client data") from error
    if received[0] != kind or received[2] != site.origin or not challenge:
        raise InvalidAssertion("wrong origin or type")
    # Any Unicode is valid JSON, lone surrogates included, which have no UTF-8 form.
    if not hmac.compare_digest(str(received[1]).encode("utf-8", "replace"), challenge.encode()):
        raise InvalidAssertion("challenge mismatch")


def _check_authenticator(site: RelyingParty, data: bytes) -> int:
    if len(data) < 37 or data[:32] != hashlib.sha256(site.host.encode()).digest():
        raise InvalidAssertion("relying party id mismatch")
    if not data[32] & _PRESENT:
        raise InvalidAssertion("no user was present")
    return int.from_bytes(data[33:37])


def _load(key: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey:
    try:
        loaded = serialization.load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidAssertion("invalid public key") from error
    if not isinstance(loaded, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise InvalidAssertion("unsupported key type")
    return loaded


def _check_signature(public: bytes, signed: bytes, signature: bytes) -> None:
    key = _load(public)
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            case _:
                key.verify(signature, signed)
    except InvalidSignature as error:
        raise InvalidAssertion("signature verification failed") from error
