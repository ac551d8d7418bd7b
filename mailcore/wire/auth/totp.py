"""One-time codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits, thirty seconds.

These are the parameters that every app supports. Keys are bytes; the time is an argument.
"""

import base64
import hmac
import struct
import unicodedata
from urllib.parse import quote, urlencode

_STEP = 30  # seconds
_DIGITS = 6
_DRIFT = 1  # steps by which a phone's clock may be off


def step_at(now: float) -> int:
    return int(now // _STEP)


def compute_code(key: bytes, step: int) -> str:
    """Return the code of one step (RFC 4226 §5.3)."""
    mac = hmac.digest(key, struct.pack(">Q", step), "sha1")
    offset = mac[-1] & 15
    number = struct.unpack_from(">I", mac, offset)[0] & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def matching_step(key: bytes, given: str, now: float, used: int) -> int | None:
    """Return the step of a typed code, or None if the code is not valid now.

    Steps up to `used` are refused, so that a code works only once (RFC 6238 §5.2).
    """
    # Input methods type full-width digits; NFKC maps them to ASCII, and digits of other scripts are dropped.
    typed = "".join(each for each in unicodedata.normalize("NFKC", given) if each in "0123456789")
    here = step_at(now)
    for step in range(here - _DRIFT, here + _DRIFT + 1):
        if step > used and hmac.compare_digest(compute_code(key, step), typed):
            return step
    return None


def format_key(key: bytes) -> str:
    """Return the key as people type it into an app: base32 in groups of four."""
    text = base64.b32encode(key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def provisioning_uri(key: bytes, issuer: str, address: str) -> str:
    """Return the otpauth:// URI for the QR code."""
    query = urlencode({"secret": base64.b32encode(key).decode().rstrip("="), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(address)}?{query}"
