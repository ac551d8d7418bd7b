"""Filtering of messages by their recipient's Sieve script, as the last step of delivery.

Called by `deliver` for recipients whose account has an active script; other deliveries pay nothing for it.
`apply_script` runs the script before the transaction and decides where copies go; `record_filter_results`, inside the
transaction that inserts them, does the rest: redirected messages, vacation replies, recorded keys and notices. So each
happens exactly once, with the delivery.

If a script fails in any way, the message is delivered to INBOX, and the owner is notified once for each version of the
script.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from mailcore import conf, rate_counters
from mailcore.logs import writer
from mailcore.mta.delivery.sieve_environment import script_environment
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.claim import Claim, PendingRecipient
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.mta.transports.smtp import dkim_sign
from mailcore.store import directory
from mailcore.store.access import sieve_scripts
from mailcore.store.db import event_log
from mailcore.store.mailbox import insert, mailboxes
from mailcore.store.maildir import maildir_files
from mailcore.values import (
    Arrival,
    Client,
    Local,
    MessageRecipient,
    NewMessage,
    Outcome,
    Owner,
    Refusal,
    delivered_outcome,
    failed_outcome,
)
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.message import envelope_address
from mailcore.wire.sieve import notification, vacation
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import (
    Envelope,
    Keep,
    Notification,
    Redirect,
    SieveResult,
    SieveRunError,
)
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage, parse_target, to_one_line

_HERE = Client("127.0.0.1", "localhost", protocol="sieve")
_ELSEWHERE = Client("unknown", protocol="sieve")  # Passed on for a client that may not write as its From says.
_RELAY = "sieve"  # The relay name in log lines and in the message trace.
_PLAIN = SieveResult((Keep(),))
_CPU_TIME = "sieve milliseconds"
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class FilterResult:
    """The decisions of a script about one message for one recipient.

    `arrivals` are its copies, one per mailbox; `body` is the offset of the body in the content file; `fault` says why
    the script was not carried out in full.
    """

    script: sieve_scripts.ActiveScript
    claim: Claim
    recipient: PendingRecipient
    message: SieveMessage
    result: SieveResult
    arrivals: tuple[Arrival, ...]
    body: int
    fault: str

    @property
    def is_plain(self) -> bool:
        """True if the result and its record are those of a delivery without a script."""
        return self.result.is_plain and not self.fault


def active_scripts(routes: Iterable[Local]) -> Mapping[int, sieve_scripts.ActiveScript]:
    """Return the active scripts of the accounts in `routes`, by account id; no query if none has one."""
    ids = [route.account_id for route in routes if route.filtered]
    return sieve_scripts.active_scripts(ids) if ids else {}


def apply_script(
    script: sieve_scripts.ActiveScript, claim: Claim, recipient: PendingRecipient, arrival: Arrival
) -> FilterResult:
    """Run the script. `arrival` is where the message would go without it.

    Raise OSError if the content cannot be read.
    """
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(arrival.skip)
        content = arrival.trace + file.read()
    delimiter = conf.current().recipient_delimiter
    envelope = Envelope(claim.sender, recipient.original or recipient.address, delimiter)
    message = SieveMessage(content, envelope, len(arrival.trace))
    targets: dict[str, str] = {}
    started = time.thread_time()
    try:
        _check_time_of_account(script)
        result = run_script(
            compile_script(script.content, sieve_scripts.regex_limits()),
            message,
            script_environment(script, targets, message, content),
        )
        fault = ""
    except (SieveRunError, SieveError) as error:
        result, fault = _PLAIN, str(error)
    except DatabaseError:
        raise
    except Exception as error:  # No fault of a script may stop the delivery of other mail.
        writer.write("sieve", f"{claim.queue_id}: error: script {script.name}: {type(error).__name__}: {error}")
        result, fault = _PLAIN, "internal error"
    _count_time(script, time.thread_time() - started)
    keeps: dict[str, Keep] = {}
    for keep in result.keeps:
        name, problem = _target_mailbox(script, keep, targets)
        keeps.setdefault(name, keep)
        fault = fault or problem
    body = arrival.skip + message.header_end - len(arrival.trace)
    arrivals = tuple(_copy_arrival(arrival, name, keep, body) for name, keep in keeps.items())
    return FilterResult(script, claim, recipient, message, result, arrivals, body, fault)


def _check_time_of_account(script: sieve_scripts.ActiveScript) -> None:
    """Raise SieveRunError if the account's scripts have taken all their time (sieve_max_cpu_time_hourly).

    A courier runs scripts one after the other: with 5 s for each of 100 messages, nobody's mail went on for 8 minutes.
    """
    limit = conf.current().sieve_max_cpu_time_hourly
    if limit and rate_counters.count_events(_CPU_TIME, str(script.account_id), _HOUR, events=0) >= limit * 1000:
        raise SieveRunError("the scripts have taken too much processor time in the last hour")


def _count_time(script: sieve_scripts.ActiveScript, seconds: float) -> None:
    rate_counters.count_events(_CPU_TIME, str(script.account_id), _HOUR, events=int(seconds * 1000) + 1)


def _target_mailbox(script: sieve_scripts.ActiveScript, keep: Keep, targets: dict[str, str]) -> tuple[str, str]:
    """Return (the mailbox a copy goes to, the reason why it is not the requested one)."""
    name = keep.mailbox
    if name == "INBOX":
        return name, ""
    targets.update(targets or sieve_scripts.list_target_mailboxes(script.account_id))
    if name in targets:
        return name, ""
    if not keep.create:
        return "INBOX", f'there is no mailbox "{name}"'
    owner = Owner(script.account_id, script.address)
    created = mailboxes.create_mailbox(owner, name)
    if isinstance(created, Refusal) and created.code != "ALREADYEXISTS":
        return "INBOX", f'the mailbox "{name}" cannot be created: {created.text}'
    mailboxes.subscribe_name(owner, name)
    targets[name] = ""
    return name, ""


def _copy_arrival(arrival: Arrival, mailbox: str, keep: Keep, body: int) -> Arrival:
    """Return the copy for a mailbox; `body` is the offset of the body in the content file."""
    bits = sum({wire_flags.BITS.get(name.lower(), 0) for name in keep.flags})
    keywords = tuple(name for name in keep.flags if not name.startswith("\\"))
    copy = replace(arrival, mailbox=mailbox, flags=bits, keywords=keywords)
    return copy if keep.header is None else replace(copy, header=keep.header, skip=body, link=False)


# --- In the transaction ---------------------------------------------------------------------------


def record_filter_results(filtered: FilterResult, copies: Sequence[insert.StagedMessage]) -> Outcome:
    """Carry out all actions besides the copies, which are inserted already, and return the outcome.

    Call inside the transaction.
    """
    claim, result = filtered.claim, filtered.result
    actions = [f"stored in {arrival.mailbox}" for arrival in filtered.arrivals if arrival.mailbox != "INBOX"]
    for redirect in result.redirects:
        _send_redirect(filtered, redirect)
        actions.append(f"redirected to {redirect.address}")
    if result.vacation is not None and _send_vacation(filtered):
        actions.append("answered")
    for notice in result.notifications:
        actions += [f"notified {address}" for address in _send_notification(filtered, notice)]
    for key, seconds in result.remember:
        sieve_scripts.record_seen(filtered.script.account_id, key, _duplicate_period(seconds), anew=True)
    if result.reject is not None:
        actions.append("rejected")
    elif not filtered.arrivals and not result.redirects:
        actions.append("discarded")
    if filtered.fault:
        actions.append(filtered.fault)
        _notify_owner_once(filtered)
    if actions:
        event_log.record_filtered(
            filtered.script.account_id, claim.message_id, filtered.script.name, "; ".join(actions)
        )
    for copy in copies:
        if copy.arrival.flags:
            _rename_on_commit(copy)
    if result.reject is not None:  # RFC 5429
        return failed_outcome("5.7.1", to_one_line(result.reject.reason)[:500] or "rejected by the recipient", _RELAY)
    return delivered_outcome("; ".join(actions) or "delivered to maildir", _RELAY if actions else "virtual")


def _rename_on_commit(copy: insert.StagedMessage) -> None:
    """Put the flags into the file name for other programs that read the Maildir; ours reads them from the index."""
    maildir = os.path.dirname(os.path.dirname(copy.path))
    rename = partial(maildir_files.rename_flags, maildir, copy.arrival.base_name, copy.arrival.flags)
    transaction.on_commit(rename, robust=True)


def _duplicate_period(seconds: int) -> int:
    parameters = conf.current()
    period = seconds or parameters.sieve_duplicate_default_period
    return min(period, parameters.sieve_duplicate_max_period or period)


def _vacation_period(seconds: int | None) -> int:
    """Return the period a script requests, within the configured limits (RFC 5230 §4.1)."""
    parameters = conf.current()
    period = parameters.sieve_vacation_default_period if seconds is None else seconds
    period = max(period, parameters.sieve_vacation_min_period)
    return min(period, parameters.sieve_vacation_max_period or period)


def _own_addresses(filtered: FilterResult) -> tuple[str, ...]:
    """Return the account's address, the recipient's, and the original recipient if that is its own alias."""
    original, own_address = filtered.recipient.original, filtered.script.address
    alias = directory.find_alias(original) if original else None
    is_own_alias = alias is not None and tuple(alias.targets) == (own_address,)
    return (own_address, filtered.recipient.address, *((original,) if is_own_alias else ()))


def _send_vacation(filtered: FilterResult) -> bool:
    """Queue the vacation reply, if one is due and this sender had none lately. Return True if it was queued."""
    action, claim = filtered.result.vacation, filtered.claim
    assert action is not None
    own = _own_addresses(filtered)
    if not vacation.should_reply(action, filtered.message, own):
        return False
    key = f"vacation\0{claim.sender.lower()}\0{action.key}"
    if not sieve_scripts.record_seen(filtered.script.account_id, key, _vacation_period(action.seconds)):
        return False
    # A reply must not bear another user's name: a From address that is not the owner's is ignored.
    address = envelope_address.fold_address(parse_target(action.sender))
    if action.sender and address not in map(envelope_address.fold_address, own):
        action = replace(action, sender="")
    if action.mime:
        action = replace(action, reason=_mime_fields_only(action.reason))
    file, message_id = _new_content_file()
    date = formatdate(now_us() / MICRO, localtime=True)
    content = vacation.render_reply(
        action, filtered.message, owner=filtered.script.address, date=date, message_id=message_id
    )
    _enqueue_file(
        file,
        content,
        MessageRecipient(claim.sender, notify="NEVER"),
        message_id=message_id,
        smtputf8=claim.smtputf8 or not content.partition(b"\r\n\r\n")[0].isascii(),
    )
    return True


def _send_notification(filtered: FilterResult, notice: Notification) -> tuple[str, ...]:
    """Queue a notification to each of its recipients and return them; to none if a program wrote the message."""
    if not notification.should_notify(filtered.message):
        return ()
    own = map(envelope_address.fold_address, _own_addresses(filtered))
    if envelope_address.fold_address(notice.sender) not in own:
        notice = replace(notice, sender="")  # it must not bear another user's name
    for address in notice.recipients:
        file, message_id = _new_content_file()
        date = formatdate(now_us() / MICRO, localtime=True)
        content = notification.render_notification(
            notice, filtered.message, owner=filtered.script.address, date=date, message_id=message_id
        )
        recipient = MessageRecipient(address, notify="NEVER")
        _enqueue_file(file, content, recipient, message_id=message_id, smtputf8=not (address + notice.sender).isascii())
    return notice.recipients


def _mime_fields_only(entity: str) -> str:
    """Return a MIME entity with its Content- fields only (RFC 5230 §4.5): a From there would be a second author."""
    entity = entity.replace("\r\n", "\n").replace("\r", "\n")
    if entity.startswith("\n"):
        return entity
    header, _, body = entity.partition("\n\n")
    fields = re.split(r"\n(?![ \t])", header)
    return "".join(f"{field}\n" for field in fields if field.lower().startswith("content-")) + f"\n{body}"


def _send_redirect(filtered: FilterResult, redirect: Redirect) -> None:
    """Queue the message with a Delivered-To header, which reveals loops; bounces go to its sender as usual."""
    claim, recipient = filtered.claim, filtered.recipient
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(claim.trace_size if redirect.header is None else filtered.body)
        delivered_to = f"Delivered-To: {filtered.script.address}\r\n".encode()
        content = b"".join((delivered_to, redirect.header or b"", file.read()))
    _enqueue_file(
        _new_content_file()[0],
        content,
        # A stranger's message stays a stranger's: it is not signed as one of ours, whatever its From says.
        client=_HERE if dkim_sign.is_author_known(claim) else _ELSEWHERE,
        recipient=MessageRecipient(redirect.address, notify="NEVER" if recipient.notify.upper() == "NEVER" else ""),
        sender=claim.sender,
        message_id=claim.message_id,
        eight_bit=claim.eight_bit,
        smtputf8=claim.smtputf8,
        envelope_id=claim.envelope_id,
        return_full=claim.return_full,
    )


def _notify_owner_once(filtered: FilterResult) -> None:
    script = filtered.script
    writer.write("sieve", f"{filtered.claim.queue_id}: to=<{script.address}>: script {script.name}: {filtered.fault}")
    if script.reported_fault or not sieve_scripts.record_fault(script.id, filtered.fault):
        return
    file, message_id = _new_content_file()
    content = _fault_notice(script, filtered.fault, message_id)
    _enqueue_file(file, content, MessageRecipient(script.address, notify="NEVER"), message_id=message_id)


def _new_content_file() -> tuple[content_files.ContentFile, str]:
    """Return the content file of a message of our own, and a Message-ID for it."""
    file = content_files.ContentFile()
    return file, f"{file.open():X}.{now_us() // MICRO}@{conf.current().myhostname}"


def _enqueue_file(
    file: content_files.ContentFile,
    content: bytes,
    recipient: MessageRecipient,
    *,
    message_id: str,
    client: Client = _HERE,
    sender: str = "",
    eight_bit: bool | None = None,
    smtputf8: bool = False,
    envelope_id: str = "",
    return_full: bool | None = None,
) -> None:
    file.write(content)
    file.finish()
    message = NewMessage(
        id=file.id,
        checksum=file.checksum,
        sender=sender,
        recipients=(recipient,),
        size=len(content),
        received_us=now_us(),
        client=client,
        message_id=message_id,
        eight_bit=not content.isascii() if eight_bit is None else eight_bit,
        smtputf8=smtputf8,
        envelope_id=envelope_id,
        return_full=return_full,
    )
    enqueue.insert_messages([message])


def _fault_notice(script: sieve_scripts.ActiveScript, fault: str, message_id: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    with translation.override(script.language or settings.LANGUAGE_CODE):
        message["From"] = Address(_("Mail system"), "postmaster", script.address.rpartition("@")[2])
        message["To"] = script.address
        message["Subject"] = _("Error in your mail filters")
        text = _(
            "Your filters “%(name)s” could not be applied to a message:\n\n    %(fault)s\n\n"
            "The message is in your inbox; nothing is lost. Please check your filters. This notice is sent once,"
            " until you change them."
        )
        message.set_content(text % {"name": script.name, "fault": fault} + "\n", cte="base64")
    message["Date"] = formatdate(now_us() / MICRO, localtime=True)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    return message.as_bytes()
