"""Messages on their last step, through their recipient's Sieve script.

Called by `deliver` for recipients whose account has an active script; nobody else pays for it. `look` runs the script
before the transaction and says where copies go; `settle`, inside the transaction that enters them, does the rest:
messages passed on, automatic answers, what is remembered and told. So all of it happens once, with the delivery.

Whatever goes wrong with a script, its message is kept in INBOX, and its owner is told once for each version of it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.states import MICRO, Claim, PendingRecipient, now_us
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
from mailcore.wire.sieve import vacation
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Keep, Limits, ScriptEnvironment, SieveResult, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage, to_one_line

_HERE = Client("127.0.0.1", "localhost", protocol="sieve")
_RELAY = "sieve"  # in log lines, and where the story says who did it
_PLAIN = SieveResult((Keep(),))


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What a script decided about one message for one recipient. `arrivals` are its copies, one a mailbox; `fault`
    says why the script was not carried out, or not all of it."""

    script: sieve_scripts.ActiveScript
    claim: Claim
    duty: PendingRecipient
    message: SieveMessage
    result: SieveResult
    arrivals: tuple[Arrival, ...]
    fault: str

    @property
    def is_plain(self) -> bool:
        """Just what happens without a script, and recorded so."""
        return self.result.is_plain and not self.fault


def active_scripts(ways: Iterable[Local]) -> Mapping[int, sieve_scripts.ActiveScript]:
    """The scripts of those of `ways` that have one, by account; nothing is asked where none has."""
    ids = [way.account_id for way in ways if way.filtered]
    return sieve_scripts.active_scripts(ids) if ids else {}


def apply_script(
    script: sieve_scripts.ActiveScript, claim: Claim, duty: PendingRecipient, arrival: Arrival
) -> FilterResult:
    """Run the script. `arrival` is where the message would go without it. OSError: its content cannot be read."""
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(arrival.skip)
        content = arrival.trace + file.read()
    delimiter = conf.current().recipient_delimiter
    message = SieveMessage(content, Envelope(claim.sender, duty.original or duty.address, delimiter))
    boxes: dict[str, str] = {}
    try:
        result = run_script(compile_script(script.content), message, _script_environment(script, boxes))
        fault = ""
    except (SieveRunError, SieveError) as error:
        result, fault = _PLAIN, str(error)
    except DatabaseError:
        raise
    except Exception as error:  # whatever it is, it must not keep everybody's mail
        writer.write("sieve", f"{claim.queue_id}: error: script {script.name}: {type(error).__name__}: {error}")
        result, fault = _PLAIN, "internal error"
    keeps: dict[str, Keep] = {}
    for keep in result.keeps:
        name, problem = _target_mailbox(script, keep, boxes)
        keeps.setdefault(name, keep)
        fault = fault or problem
    arrivals = tuple(_copy_arrival(arrival, name, keep.flags) for name, keep in keeps.items())
    return FilterResult(script, claim, duty, message, result, arrivals, fault)


def _script_environment(script: sieve_scripts.ActiveScript, boxes: dict[str, str]) -> ScriptEnvironment:
    parameters, now = conf.current(), now_us() / MICRO

    def known() -> dict[str, str]:
        if not boxes:
            boxes.update(sieve_scripts.list_target_mailboxes(script.account_id))
        return boxes

    def mailbox_for(use: str) -> str:
        return next((name for name, its in known().items() if its and its.lower() == use.lower()), "")

    zone = ZoneInfo(script.time_zone or settings.TIME_ZONE)
    ahead = datetime.fromtimestamp(now, zone).utcoffset()
    return ScriptEnvironment(
        now=now,
        has_mailbox=lambda name: name in known(),
        mailbox_for=mailbox_for,
        was_seen=lambda key: sieve_scripts.has_seen(script.account_id, key),
        zone_minutes=int(ahead.total_seconds() // 60) if ahead else 0,
        environment={
            "domain": parameters.mydomain,
            "host": parameters.myhostname,
            "location": "MDA",
            "name": parameters.mail_name,
            "phase": "during",
        },
        limits=Limits(parameters.sieve_max_actions, parameters.sieve_max_redirects, parameters.sieve_max_cpu_time),
    )


def _target_mailbox(script: sieve_scripts.ActiveScript, keep: Keep, boxes: dict[str, str]) -> tuple[str, str]:
    """(the mailbox a copy goes to, what is wrong with the one that was asked for)."""
    name = keep.mailbox
    if name == "INBOX":
        return name, ""
    boxes.update(boxes or sieve_scripts.list_target_mailboxes(script.account_id))
    if name in boxes:
        return name, ""
    if not keep.create:
        return "INBOX", f'there is no mailbox "{name}"'
    owner = Owner(script.account_id, script.address)
    made = mailboxes.create_mailbox(owner, name)
    if isinstance(made, Refusal) and made.code != "ALREADYEXISTS":
        return "INBOX", f'the mailbox "{name}" cannot be made: {made.text}'
    mailboxes.subscribe_name(owner, name)
    boxes[name] = ""
    return name, ""


def _copy_arrival(arrival: Arrival, mailbox: str, flags: Sequence[str]) -> Arrival:
    bits = sum({wire_flags.BITS.get(name.lower(), 0) for name in flags})
    keywords = tuple(name for name in flags if not name.startswith("\\"))
    return replace(arrival, mailbox=mailbox, flags=bits, keywords=keywords)


# --- In the transaction ---------------------------------------------------------------------------


def record_filter_results(filtered: FilterResult, copies: Sequence[insert.StagedMessage]) -> Outcome:
    """Everything besides the copies, which were entered just now; how it ended. Call inside the transaction."""
    claim, result = filtered.claim, filtered.result
    words = [f"stored in {arrival.mailbox}" for arrival in filtered.arrivals if arrival.mailbox != "INBOX"]
    for redirect in result.redirects:
        _send_redirect(filtered, redirect.address)
        words.append(f"redirected to {redirect.address}")
    if result.vacation is not None and _send_vacation(filtered):
        words.append("answered")
    for key, seconds in result.remember:
        sieve_scripts.record_seen(filtered.script.account_id, key, _duplicate_period(seconds), anew=True)
    if result.reject is not None:
        words.append("rejected")
    elif not filtered.arrivals and not result.redirects:
        words.append("discarded")
    if filtered.fault:
        words.append(filtered.fault)
        _notify_owner_once(filtered)
    if words:
        event_log.record_filtered(filtered.script.account_id, claim.message_id, filtered.script.name, "; ".join(words))
    for copy in copies:
        if copy.arrival.flags:
            _rename_on_commit(copy)
    if result.reject is not None:  # RFC 5429
        return failed_outcome("5.7.1", to_one_line(result.reject.reason)[:500] or "rejected by the recipient", _RELAY)
    return delivered_outcome("; ".join(words) or "delivered to maildir", _RELAY if words else "virtual")


def _rename_on_commit(copy: insert.StagedMessage) -> None:
    """Other programs that read the Maildir see the flags too; ours knows them from the index."""
    where = os.path.dirname(os.path.dirname(copy.path))
    rename = partial(maildir_files.rename_flags, where, copy.arrival.base_name, copy.arrival.flags)
    transaction.on_commit(rename, robust=True)


def _duplicate_period(seconds: int) -> int:
    parameters = conf.current()
    wanted = seconds or parameters.sieve_duplicate_default_period
    return min(wanted, parameters.sieve_duplicate_max_period or wanted)


def _vacation_period(seconds: int | None) -> int:
    """RFC 5230 §4.1: what a script asks for, between the limits."""
    parameters = conf.current()
    wanted = parameters.sieve_vacation_default_period if seconds is None else seconds
    wanted = max(wanted, parameters.sieve_vacation_min_period)
    return min(wanted, parameters.sieve_vacation_max_period or wanted)


def _own_addresses(filtered: FilterResult) -> tuple[str, ...]:
    """The account's, and the one the message was sent to where that is another name of it, not a group's."""
    original, mine = filtered.duty.original, filtered.script.address
    alias = directory.find_alias(original) if original else None
    second = alias is not None and tuple(alias.targets) == (mine,)
    return (mine, filtered.duty.address, *((original,) if second else ()))


def _send_vacation(filtered: FilterResult) -> bool:
    """The automatic answer, if one is right and this correspondent had none lately."""
    wish, claim = filtered.result.vacation, filtered.claim
    assert wish is not None
    own = _own_addresses(filtered)
    if not vacation.should_reply(wish, filtered.message, own):
        return False
    key = f"vacation\0{claim.sender.lower()}\0{wish.key}"
    if not sieve_scripts.record_seen(filtered.script.account_id, key, _vacation_period(wish.seconds)):
        return False
    # Nobody answers in another's name: an address that is not the owner's is passed over.
    address = wish.sender.rpartition("<")[2].rstrip("> ").lower()
    if wish.sender and address not in {each.lower() for each in own}:
        wish = replace(wish, sender="")
    file, message_id = _new_content_file()
    date = formatdate(now_us() / MICRO, localtime=True)
    content = vacation.render_reply(
        wish, filtered.message, owner=filtered.script.address, date=date, message_id=message_id
    )
    _enqueue_file(
        file, content, MessageRecipient(claim.sender, notify="NEVER"), message_id=message_id, smtputf8=claim.smtputf8
    )
    return True


def _send_redirect(filtered: FilterResult, address: str) -> None:
    """The message as it came, with a mark by which a loop is seen. Failures are the sender's to hear of, as ever."""
    claim, duty = filtered.claim, filtered.duty
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(claim.trace_size)
        content = f"Delivered-To: {filtered.script.address}\r\n".encode() + file.read()
    _enqueue_file(
        _new_content_file()[0],
        content,
        MessageRecipient(address, notify="NEVER" if duty.notify.upper() == "NEVER" else ""),
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
    """The file of a message of our own, and a Message-ID for it."""
    file = content_files.ContentFile()
    return file, f"{file.open():X}.{now_us() // MICRO}@{conf.current().myhostname}"


def _enqueue_file(
    file: content_files.ContentFile,
    content: bytes,
    recipient: MessageRecipient,
    *,
    message_id: str,
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
        client=_HERE,
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
        message["Subject"] = _("Your mail filters have a fault")
        text = _(
            "Your filters “%(name)s” could not be carried out for a message:\n\n    %(fault)s\n\n"
            "The message is in your inbox; nothing is lost. Please look at your filters. You are told this once,"
            " until you change them."
        )
        message.set_content(text % {"name": script.name, "fault": fault} + "\n", cte="base64")
    message["Date"] = formatdate(now_us() / MICRO, localtime=True)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    return message.as_bytes()
