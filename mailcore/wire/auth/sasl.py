"""SASL mechanisms (RFC 4422): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677), OAUTHBEARER and XOAUTH2.

Values and arithmetic only (OAUTHBEARER: RFC 7628): `servers.authentication` talks to the client and the store. The
messages here are bytes; SMTP, IMAP and POP3 each send them as base64 in their own framing.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.auth.saslprep import saslprep

RESPONSE_LIMIT = 12288  # bytes in a client's line (RFC 4954 §4)

# The properties of each mechanism, in the words of Postfix's smtpd_sasl_security_options; strongest first.
PROPERTIES: dict[str, frozenset[str]] = {
    "SCRAM-SHA-256": frozenset(("noplaintext", "noactive", "noanonymous", "mutual_auth")),
    "OAUTHBEARER": frozenset(("noanonymous", "nodictionary")),
    "XOAUTH2": frozenset(("noanonymous", "nodictionary")),
    "PLAIN": frozenset(("noanonymous",)),
    "LOGIN": frozenset(("noanonymous",)),
}
OPTIONS = frozenset(("noplaintext", "noactive", "nodictionary", "noanonymous", "mutual_auth"))
# These send a secret that opens the account to an eavesdropper.
CLEAR = frozenset(("PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"))
TOKENS = frozenset(("OAUTHBEARER", "XOAUTH2"))


class SaslError(ValueError):
    """The client's message does not follow its mechanism."""


class Unauthorized(SaslError):
    """The client asks to act for another account."""


def available_mechanisms(options: Iterable[str], *, tokens: bool, clear: bool) -> tuple[str, ...]:
    """Return the mechanisms that have every property in `options`, strongest first.

    `tokens`: OAuth tokens can be verified. `clear`: secrets may be sent in the clear.
    """
    wanted = set(options)
    return tuple(
        name
        for name, offers in PROPERTIES.items()
        if wanted <= offers and (tokens or name not in TOKENS) and (clear or name not in CLEAR)
    )


def decode_response(line: bytes) -> bytes:
    """Decode a client's base64 response; "=" is an empty one (RFC 4954 §4). Raise SaslError if it is not base64."""
    try:
        return b"" if line == b"=" else base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise SaslError("not base64") from error


def decode_name(data: bytes) -> str:
    """Decode a name or password as UTF-8; other bytes become lone surrogates, which match no account."""
    return data.decode("utf-8", "surrogateescape")


# --- Names with their secrets ---------------------------------------------------------------------


def parse_plain(response: bytes) -> tuple[str, str]:
    """Return (name, password) of a PLAIN response: [authzid] NUL authcid NUL password (RFC 4616 §2)."""
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise SaslError("three parts expected")
    _reject_other_identity(decode_name(parts[0]), decode_name(parts[1]))
    return decode_name(parts[1]), decode_name(parts[2])


def _reject_other_identity(wanted: str, name: str) -> None:
    if wanted and wanted != name:
        raise Unauthorized("acting as another user is not supported")


def parse_oauthbearer(response: bytes) -> tuple[str, str]:
    """Return (name or "", token) of an OAUTHBEARER response: a GS2 header, then key=value pairs (RFC 7628 §3.1)."""
    header, _, rest = response.partition(b"\1")
    name, _ = _gs2_header(decode_name(header))
    return name, _find_token(rest)


def parse_xoauth2(response: bytes) -> tuple[str, str]:
    """Return (name, token) of an XOAUTH2 response: "user=" name ^A "auth=Bearer " token ^A ^A."""
    first, _, rest = response.partition(b"\1")
    if not first.startswith(b"user="):
        raise SaslError("user= expected")
    return decode_name(first[5:]), _find_token(rest)


def _find_token(pairs: bytes) -> str:
    if not pairs.endswith(b"\1\1"):
        raise SaslError("two ^A expected at the end")
    for pair in pairs.split(b"\1"):
        key, _, value = pair.partition(b"=")
        if key == b"auth":
            scheme, _, token = decode_name(value).partition(" ")
            if scheme.lower() == "bearer" and token:
                return token
    raise SaslError("no bearer token")


def oauth_failure() -> bytes:
    """Return the error document for a refused token, which the client acknowledges (RFC 7628 §3.2.3)."""
    return json.dumps({"status": "invalid_token", "schemes": "bearer", "scope": "mail"}).encode()


# --- SCRAM ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The keys derived from a password, with which SCRAM works without the password (RFC 5802 §3)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        """Return Dovecot's text form: iterations,salt,StoredKey,ServerKey."""
        parts = (self.salt, self.stored_key, self.server_key)
        return ",".join((str(self.iterations), *(base64.b64encode(part).decode() for part in parts)))


_MAX_ITERATIONS = 10_000_000


def parse_keys(given: str) -> ScramKeys:
    """Parse the text form of ScramKeys; raise SaslError if it is malformed."""
    fields = given.split(",")
    if len(fields) != 4 or not re.fullmatch("[1-9][0-9]{0,7}", fields[0], re.ASCII):
        raise SaslError("no SCRAM keys")
    salt, stored, server = (decode_response(field.encode()) for field in fields[1:])
    if len(stored) != 32 or len(server) != 32 or not salt or int(fields[0]) > _MAX_ITERATIONS:
        raise SaslError("no SCRAM keys")
    return ScramKeys(int(fields[0]), salt, stored, server)


def make_keys(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """Derive the keys of a password; raise ValueError if SASLprep (RFC 4013) prohibits one of its characters."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    return ScramKeys(iterations, salt, _hash(_mac(salted, b"Client Key")), _mac(salted, b"Server Key"))


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")


class Scram:
    """The server's side of one SCRAM exchange: client-first in, `challenge` out, client-final in, `verify`.

    Channel binding is not offered.
    """

    def __init__(self, client_first: bytes) -> None:
        message = decode_name(client_first)
        gs2, bare = _cut_gs2(message)
        wanted, self._binding = _gs2_header(gs2)
        fields = bare.split(",")
        if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
            raise SaslError("n= and r= expected")
        self.name = _unescape(fields[0][2:])
        self._nonce = fields[1][2:]
        if not self.name or not _NONCE.fullmatch(self._nonce):
            raise SaslError("bad name or nonce")
        _reject_other_identity(wanted, self.name)
        self._bare = bare
        self._server_first = ""

    def challenge(self, salt: bytes, iterations: int, nonce: str) -> bytes:
        """Return the server's first message; `nonce` is the server's part of the nonce."""
        self._nonce += nonce
        self._server_first = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}"
        return self._server_first.encode()

    def verify(self, client_final: bytes, candidates: Sequence[ScramKeys]) -> tuple[int, bytes] | None:
        """Check the client's proof against candidate keys.

        Return (index in `candidates` of the matching password, server's final message), or None if none matches. Raise
        SaslError if the message is malformed or belongs to another exchange.
        """
        message = decode_name(client_final)
        without_proof, mark, proof_text = message.rpartition(",p=")
        fields = without_proof.split(",")
        expected = "c=" + base64.b64encode(self._binding.encode("utf-8", "surrogateescape")).decode()
        if not mark or len(fields) < 2 or fields[0] != expected or fields[1] != f"r={self._nonce}":
            raise SaslError("not the answer to our challenge")
        proof = decode_response(proof_text.encode("utf-8", "surrogateescape"))
        if len(proof) != 32:
            raise SaslError("bad proof")
        signed = f"{self._bare},{self._server_first},{without_proof}".encode("utf-8", "surrogateescape")
        found = None
        for at, keys in enumerate(candidates):
            signature = _mac(keys.stored_key, signed)
            client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
            if hmac.compare_digest(_hash(client_key), keys.stored_key) and found is None:
                found = at
        if found is None:
            return None
        return found, b"v=" + base64.b64encode(_mac(candidates[found].server_key, signed))


def _cut_gs2(message: str) -> tuple[str, str]:
    """Split a client's first message into (GS2 header, the rest)."""
    parts = message.split(",", 2)
    if len(parts) != 3:
        raise SaslError("GS2 header expected")
    return f"{parts[0]},{parts[1]},", parts[2]


def _gs2_header(header: str) -> tuple[str, str]:
    """Return (authorization identity or "", the header itself) of "n,a=name," (RFC 5801 §4)."""
    flag, _, rest = header.partition(",")
    wanted, comma, after = rest.partition(",")
    if flag not in ("n", "y") or not comma or after or (wanted and not wanted.startswith("a=")):
        raise SaslError("GS2 header expected, without channel binding")
    return _unescape(wanted[2:]), header


def _unescape(name: str) -> str:
    """Decode a saslname: "=2C" is a comma, "=3D" an equals sign; no other "=" is allowed (RFC 5802 §5.1)."""
    if re.search("=(?!2C|3D)", name):
        raise SaslError("bad name")
    return name.replace("=2C", ",").replace("=3D", "=")
