"""Passkeys as a second factor: what a browser says is checked as W3C's Web Authentication wants it (§7.1, §7.2).

No attestation is asked for: which make the key is does not matter. The browser hands the public key over in the form
`cryptography` reads (SubjectPublicKeyInfo), beside the authenticator's data; both come from the person who is signed
in, so neither needs the other's CBOR.
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
    """What came is no proof; the words are for the log."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Where the ceremony takes place: the host is the relying party's id."""

    host: str
    origin: str  # "https://mail.benet.com"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A key that was made: base64url credential id, base64 SubjectPublicKeyInfo, its signature counter."""

    handle: str
    public: str
    counter: int


def decode(text: str) -> bytes:
    """Bytes of base64url without padding. Raises NotValid."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidAssertion("not base64url") from error


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def verify_registration(
    site: RelyingParty, challenge: str, handle: str, client: str, authenticator: str, public: str
) -> Passkey:
    """The passkey a browser made for `challenge`; everything else as it posted it, base64url. Raises NotValid."""
    _check_client(site, challenge, "webauthn.create", decode(client))
    data = decode(authenticator)
    counter = _check_authenticator(site, data)
    if not data[32] & _ATTESTED or len(data) < 55:
        raise InvalidAssertion("no credential in the authenticator's data")
    length = int.from_bytes(data[53:55])
    if not length or data[55 : 55 + length] != decode(handle):
        raise InvalidAssertion("the credential is another than its id")
    key = decode(public)
    _load(key)
    return Passkey(encode(decode(handle)), base64.b64encode(key).decode(), counter)


def verify_assertion(
    site: RelyingParty, challenge: str, passkey: Passkey, client: str, authenticator: str, signature: str
) -> int:
    """The key's new counter, if its holder signed `challenge` just now. Raises NotValid."""
    said, data = decode(client), decode(authenticator)
    _check_client(site, challenge, "webauthn.get", said)
    counter = _check_authenticator(site, data)
    _check_signature(base64.b64decode(passkey.public), data + hashlib.sha256(said).digest(), decode(signature))
    if (counter or passkey.counter) and counter <= passkey.counter:
        raise InvalidAssertion("the key's counter went backwards: it may have been copied")
    return counter


def _check_client(site: RelyingParty, challenge: str, kind: str, said: bytes) -> None:
    try:
        fields = json.loads(said)
        given = fields["type"], fields["challenge"], fields["origin"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the last: brackets nested 1000 deep
        raise InvalidAssertion("no client data") from error
    if given[0] != kind or given[2] != site.origin or not challenge:
        raise InvalidAssertion("for another page or purpose")
    if not hmac.compare_digest(str(given[1]).encode(), challenge.encode()):
        raise InvalidAssertion("for another challenge")


def _check_authenticator(site: RelyingParty, data: bytes) -> int:
    if len(data) < 37 or data[:32] != hashlib.sha256(site.host.encode()).digest():
        raise InvalidAssertion("for another host")
    if not data[32] & _PRESENT:
        raise InvalidAssertion("nobody was there")
    return int.from_bytes(data[33:37])


def _load(key: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey:
    try:
        found = serialization.load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidAssertion("no public key") from error
    if not isinstance(found, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise InvalidAssertion("a key of another kind")
    return found


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
        raise InvalidAssertion("the signature is not the key's") from error
