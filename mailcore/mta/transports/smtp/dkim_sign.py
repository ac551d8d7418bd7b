"""Signing messages that leave for other hosts (RFC 6376): `plan` says who signs, asked by the courier, `fields` does it,
when `smtp.message` hands the message over.

Signed is what its author's domain (From) answers for: it has a key here, and the message was handed in by somebody who
signed in under that domain, by a client of mynetworks, or was made here. What others send through (forwards, lists)
stays as it came. The signature covers the content as it goes over the wire, so it is made after a downgrade to 7 bits.
"""

import ipaddress
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from mailcore import conf
from mailcore.models import Queued
from mailcore.mta.policy.networks import in_networks
from mailcore.mta.queue import content_files
from mailcore.mta.queue.states import Claim
from mailcore.store.settings import dkim_keys as keys
from mailcore.store.settings.dkim_keys import Signer
from mailcore.wire.message import address_list
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.sender_auth import dkim

_CHUNK = 1 << 18
_REMEMBERED = 64  # messages whose signatures are kept for their other destinations


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs a message."""

    domain: str
    signers: tuple[Signer, ...]


_made: OrderedDict[tuple[int, bool, Signing], bytes] = OrderedDict()
_lock = Lock()


def plan_signing(claim: Claim) -> Signing | None:
    """Who signs this message, None if nobody does."""
    if not keys.has_any_signer():
        return None
    header, _ = _split_message(content_files.read_header(claim.id, claim.trace_size, conf.current().header_size_limit))
    domain = author_domain(dkim.split_fields(header))
    signers = keys.active_signers(domain) if domain else ()
    return Signing(domain, signers) if signers and _may_sign_for(claim, domain) else None


def signature_fields(claim: Claim, signing: Signing, instead: bytes | None) -> bytes:
    """The DKIM-Signature fields to put before the message, each with its line end. `instead`: the content that goes in
    the file's place. Reads the whole message: not for an event loop."""
    key = (claim.id, instead is not None, signing)
    with _lock:
        if key in _made:
            return _made[key]
    made = _sign_message(claim, signing, instead)
    with _lock:
        _made[key] = made
        while len(_made) > _REMEMBERED:
            _made.popitem(last=False)
    return made


def _sign_message(claim: Claim, signing: Signing, instead: bytes | None) -> bytes:
    limit = conf.current().header_size_limit
    start = content_files.read_header(claim.id, claim.trace_size, limit) if instead is None else instead[:limit]
    header, at = _split_message(start)
    if len(header) >= limit:
        return b""  # longer than we look at: what cannot be signed whole is not signed
    found = dkim.split_fields(header)
    body = dkim.BodyHash()
    if instead is not None:
        body.feed(instead[at:])
    else:
        _hash_body_file(body, claim, at)
    digest = body.end()
    return b"".join(sign_once(found, digest, signing.domain, signer) + b"\r\n" for signer in signing.signers)


def sign_once(
    found: list[tuple[str, bytes]], body_hash: str, domain: str, signer: Signer, now: float | None = None
) -> bytes:
    """One signature over these header fields and this body."""
    names = dkim.names_to_sign(found)
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
    return dkim.format_field(tags, signer.sign(dkim.signing_input(found, names, dkim.format_field(tags))))


def author_domain(found: list[tuple[str, bytes]]) -> str:
    """The domain of the only author in From, "" where there is none, or more than one."""
    values = [whole.partition(b":")[2] for name, whole in found if name == "from"]
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


def _may_sign_for(claim: Claim, domain: str) -> bool:
    if claim.login:
        return domain in (_domain_of(claim.login), _domain_of(claim.sender))
    client = Queued.objects.filter(pk=claim.id).values_list("client_address", flat=True).first() or ""
    try:
        near = ipaddress.ip_address(client).is_loopback
    except ValueError:
        near = not client
    return near or in_networks(client, conf.current().mynetworks)


def _domain_of(address: str) -> str:
    return addresses.split_address(address)[1].lower()


def _split_message(content: bytes) -> tuple[bytes, int]:
    """(the header with its last line end, where the body begins)."""
    if content.startswith(b"\r\n"):
        return b"", 2
    end = content.find(b"\r\n\r\n")
    return (content, len(content)) if end < 0 else (content[: end + 2], end + 4)


def _hash_body_file(body: dkim.BodyHash, claim: Claim, at: int) -> None:
    with open(content_files.content_path(claim.id), "rb", buffering=0) as file:
        os.lseek(file.fileno(), claim.trace_size + at, os.SEEK_SET)
        while chunk := file.read(_CHUNK):
            body.feed(chunk)
