"""DKIM signing of outgoing messages (RFC 6376): `plan_signing` finds the keys, `signature_fields` signs.

The courier calls the first; `send_message` calls the second when it sends the message. A message is signed for its
author's domain (From) if that has a key here and the message was submitted by an account that may write as the author,
by a client of mynetworks, or created here. Mail of others that passes through (forwards, lists) is unchanged. The
signature covers the content as sent, so it is made after a conversion to 7 bits.
"""

import ipaddress
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from mailcore import conf
from mailcore.models import Queued
from mailcore.mta.policy import author_check
from mailcore.mta.policy.networks import in_networks
from mailcore.mta.queue import content_files
from mailcore.mta.queue.claim import Claim
from mailcore.store.settings import dkim_keys as keys
from mailcore.store.settings.dkim_keys import Signer
from mailcore.wire.message import address_list
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.sender_auth import dkim

_CHUNK = 1 << 18
_CACHE_LIMIT = 64  # Messages whose signatures are cached for their other destinations.


@dataclass(frozen=True, slots=True)
class Signing:
    """The domain and keys that sign a message."""

    domain: str
    signers: tuple[Signer, ...]


_cache: OrderedDict[tuple[int, bool, Signing], bytes] = OrderedDict()
_lock = Lock()


def plan_signing(claim: Claim) -> Signing | None:
    """Return the domain and keys that sign this message, None if it is not signed."""
    if not keys.has_any_signer():
        return None
    header, _ = _split_message(content_files.read_header(claim.id, claim.trace_size, conf.current().header_size_limit))
    fields = dkim.split_fields(header)
    domain = author_domain(fields)
    signers = keys.active_signers(domain) if domain else ()
    return Signing(domain, signers) if signers and _is_author_known(claim, fields) else None


def is_author_known(claim: Claim) -> bool:
    """Return True if From names an account that submitted the message, or the message was created here."""
    header, _ = _split_message(content_files.read_header(claim.id, claim.trace_size, conf.current().header_size_limit))
    return _is_author_known(claim, dkim.split_fields(header))


def signature_fields(claim: Claim, signing: Signing, replacement: bytes | None) -> bytes:
    """Return the DKIM-Signature fields to put before the message, each with its line end.

    `replacement` is the content sent instead of the file. Reads the whole message: not for an event loop.
    """
    key = (claim.id, replacement is not None, signing)
    with _lock:
        if key in _cache:
            return _cache[key]
    signatures = _sign_message(claim, signing, replacement)
    with _lock:
        _cache[key] = signatures
        while len(_cache) > _CACHE_LIMIT:
            _cache.popitem(last=False)
    return signatures


def _sign_message(claim: Claim, signing: Signing, replacement: bytes | None) -> bytes:
    limit = conf.current().header_size_limit
    start = content_files.read_header(claim.id, claim.trace_size, limit) if replacement is None else replacement[:limit]
    header, body_offset = _split_message(start)
    if len(header) >= limit:
        return b""  # A header that cannot be read completely is not signed.
    fields = dkim.split_fields(header)
    body = dkim.BodyHash()
    if replacement is not None:
        body.feed(replacement[body_offset:])
    else:
        _hash_body_file(body, claim, body_offset)
    digest = body.end()
    return b"".join(sign_once(fields, digest, signing.domain, signer) + b"\r\n" for signer in signing.signers)


def sign_once(
    fields: list[tuple[str, bytes]], body_hash: str, domain: str, signer: Signer, now: float | None = None
) -> bytes:
    """Return one signature over these header fields and this body."""
    names = dkim.names_to_sign(fields)
    tags = (
        ("v", "1"),
        ("a", signer.algorithm),
        ("c", "relaxed/relaxed"),
        ("d", domain),
        ("s", signer.selector),
        ("t", str(int(time.time() if now is None else now))),
        ("h", ":".join(names)),
        ("bh", body_hash),
    )
    return dkim.format_field(tags, signer.sign(dkim.signing_input(fields, names, dkim.format_field(tags))))


def author_domain(fields: list[tuple[str, bytes]]) -> str:
    """Return the domain of the only author in From, "" if there is none or more than one."""
    values = [whole.partition(b":")[2] for name, whole in fields if name == "from"]
    if len(values) != 1:
        return ""
    authors = [
        each
        for each in address_list.parse_address_list(values[0].replace(b"\r\n", b"").decode("utf-8", "replace"))
        if each.host
    ]
    if len(authors) != 1:
        return ""
    try:
        return addresses.ascii_domain(str(authors[0].host)).lower()
    except addresses.AddressError:
        return ""


def _is_author_known(claim: Claim, fields: list[tuple[str, bytes]]) -> bool:
    if claim.login:
        return all(author_check.owns(whole.partition(b":")[2], claim.login) for name, whole in fields if name == "from")
    client = Queued.objects.filter(pk=claim.id).values_list("client_address", flat=True).first() or ""
    try:
        is_local = ipaddress.ip_address(client).is_loopback
    except ValueError:
        is_local = not client
    return is_local or in_networks(client, conf.current().mynetworks)


def _split_message(content: bytes) -> tuple[bytes, int]:
    """Return (the header with its last line end, the offset of the body)."""
    if content.startswith(b"\r\n"):
        return b"", 2
    end = content.find(b"\r\n\r\n")
    return (content, len(content)) if end < 0 else (content[: end + 2], end + 4)


def _hash_body_file(body: dkim.BodyHash, claim: Claim, body_offset: int) -> None:
    with open(content_files.content_path(claim.id), "rb", buffering=0) as file:
        os.lseek(file.fileno(), claim.trace_size + body_offset, os.SEEK_SET)
        while chunk := file.read(_CHUNK):
            body.feed(chunk)
