"""The check of From and Sender in a message that an account submits (RFC 6409 §8.1, submission_from_check).

Called by the SMTP server when a header is complete, and by DKIM signing. Restrictions judge the envelope sender, but
readers see From. An account may write every address there that it may give as the envelope sender (`sender_owners`).
"""

import re

from django.db import DatabaseError

from mailcore import conf
from mailcore.mta.policy.restrictions.senders import sender_owners
from mailcore.values import Reply
from mailcore.wire.message import address_list, envelope_address

_MAX_AUTHORS = 20  # Addresses of one header that are looked up; more are foreign.
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\r\n]*+\r\n(?:[ \t][^\r\n]*+\r\n)*+)", re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def check_author(header: bytes, login: str) -> tuple[Reply | None, bytes]:
    """Return (rejection or None, the header to accept).

    The header consists of whole fields with CRLF line ends. Unless submission_from_check is "reject", a Sender field
    with the account's address is added to a From that is not the account's; any Sender of another is removed.
    """
    mode = conf.current().submission_from_check
    if mode == "off":
        return None, header
    try:
        fields = [(name.lower(), value) for name, value in _FIELD.findall(header)]
        foreign = next((value for name, value in fields if name == b"from" and not owns(value, login)), None)
        senders = [value for name, value in fields if name == b"sender" and not owns(value, login)]
    except DatabaseError:
        return Reply(451, "4.3.0", f"<{login}>: Temporary lookup failure"), header
    if foreign is None and not senders:
        return None, header
    if mode == "reject":
        name, value = ("From", foreign) if foreign is not None else ("Sender", senders[0])
        return _rejection(name, value, login), header
    kept = _FIELD.sub(lambda field: b"" if field[1].lower() == b"sender" else field[0], header)
    if foreign is not None:
        kept += f"Sender: {envelope_address.format_address(login)}\r\n".encode()
    return None, kept


def owns(value: bytes, login: str) -> bool:
    """Return True if an account may write every address in the value of a From or Sender field.

    A value that names somebody without an address is foreign: readers see the name alone. So is one that programs may
    read differently: more @ than addresses.
    """
    text = value.replace(b"\r\n", b"").decode("utf-8", "replace")
    entries = address_list.parse_address_list(text)
    found = {f"{each.mailbox}@{each.host}" for each in entries if each.mailbox and each.host}
    signs = _QUOTED.sub("", text).count("@")
    if not found:
        return not text.strip()
    if signs != sum(1 for each in entries if each.host) or len(found) > _MAX_AUTHORS:
        return False
    return all(login.lower() in sender_owners(address) for address in found)


def _rejection(name: str, value: bytes, login: str) -> Reply:
    text = value.replace(b"\r\n", b"").decode("utf-8", "replace")
    found = [f"{each.mailbox}@{each.host}" for each in address_list.parse_address_list(text) if each.host]
    address = next((each for each in found if login.lower() not in sender_owners(each)), text.strip())
    return Reply(
        553, "5.7.1", f"<{address[:200]}>: Sender address rejected: not owned by user {login} (in the {name} field)"
    )
