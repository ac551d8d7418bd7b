"""One account's mail fetched from another IMAP server, for `imapmigrate`: folders, flags, dates, subscriptions.

May be stopped and begun again at any time: how far each mailbox came is written down in the transaction that puts
its messages in (as METADATA of the mailbox), so nothing is fetched twice, and what came since is fetched by another run.
"""

import hashlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import imapclient
from django.db import transaction
from imapclient.exceptions import IMAPClientError

from mailcore.management.commands.mailimport import box, put
from mailcore.management.program import Fatal
from mailcore.store.mailbox import mailbox_metadata, mailboxes
from mailcore.values import Owner, Refusal
from mailcore.wire.files import mbox
from mailcore.wire.files.mbox import MboxMessage
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap import system_flags as wire_flags

_TOGETHER = 100
_TOGETHER_OCTETS = 1 << 23
_VIRTUAL = frozenset(("\\all", "\\flagged", "\\important", "\\noselect", "\\nonexistent"))
# What servers call the special mailboxes where they do not say which they are (RFC 6154).
_USUAL = {
    "sent": "\\Sent", "sent items": "\\Sent", "sent messages": "\\Sent", "sent mail": "\\Sent", "已发送": "\\Sent",
    "draft": "\\Drafts", "drafts": "\\Drafts", "草稿箱": "\\Drafts",
    "trash": "\\Trash", "deleted items": "\\Trash", "deleted messages": "\\Trash", "已删除": "\\Trash",
    "junk": "\\Junk", "junk e-mail": "\\Junk", "junk email": "\\Junk", "spam": "\\Junk", "垃圾邮件": "\\Junk",
    "archive": "\\Archive", "archives": "\\Archive", "归档": "\\Archive",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where the mail is; `security` is "tls", "starttls" or "none"."""

    host: str
    port: int
    security: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox there, and the one here it goes to."""

    name: str
    target: str


@dataclass(slots=True)
class Progress:
    """Of one folder: messages there, those that came in earlier runs, those of this one and their bytes."""

    folder: Folder
    there: int
    before: int
    fetched: int = 0
    octets: int = 0


def connect_source(source: Source, timeout: float) -> imapclient.IMAPClient:
    """Fatal: it cannot be reached, or does not let us in."""
    context = ssl.create_default_context()
    if source.host in ("localhost", "127.0.0.1", "::1"):  # a certificate proves nothing to ourselves
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        client = imapclient.IMAPClient(
            source.host, source.port, ssl=source.security == "tls", ssl_context=context, timeout=timeout
        )
        client.normalise_times = False
        if source.security == "starttls":
            client.starttls(context)
        client.login(source.user, source.password)
    except (OSError, IMAPClientError) as error:
        raise Fatal(f"{source.user} at {source.host}: {error}") from error
    return client


def list_folders(client: imapclient.IMAPClient, owner: Owner) -> list[Folder]:
    """Every mailbox there that holds messages of its own, special ones first."""
    special = {each.special_use: each.name for each in mailboxes.list_mailboxes(owner) if each.special_use}
    prefix = _personal_prefix(client)
    found: list[Folder] = []
    taken = {"INBOX"}
    for flags, delimiter, name in client.list_folders():
        attributes = {flag.decode().lower() for flag in flags}
        if attributes & _VIRTUAL:
            continue
        local = _local_name(name, (delimiter or b"").decode(), prefix)
        use = next((use for use in special if use.lower() in attributes), "") or _USUAL.get(local.lower(), "")
        target = special.get(use, local)
        if local != "INBOX" and target in taken:  # two say that they are the same
            target = local
        taken.add(target)
        found.append(Folder(name, target))
    return found


def _personal_prefix(client: imapclient.IMAPClient) -> str:
    """ "INBOX." where a server keeps all mailboxes below INBOX."""
    if not client.has_capability("NAMESPACE"):
        return ""
    personal = client.namespace().personal
    return str(personal[0][0]) if personal else ""


def _local_name(name: str, delimiter: str, prefix: str) -> str:
    if name.upper() == "INBOX":
        return "INBOX"
    levels = name.removeprefix(prefix).split(delimiter) if delimiter else [name.removeprefix(prefix)]
    return mailbox_names.canonical_name(
        mailbox_names.SEPARATOR.join(level.replace(mailbox_names.SEPARATOR, "_").strip() or "_" for level in levels)
    )


def copy_folder(client: imapclient.IMAPClient, source: Source, owner: Owner, folder: Folder) -> Iterator[Progress]:
    """Fetch what is not here yet; after every batch, how far it came."""
    selected = client.select_folder(folder.name, readonly=True)
    validity = int(selected[b"UIDVALIDITY"])
    mark = _progress_entry(source, folder.name)
    done = _last_copied_uid(owner, folder.target, mark, validity)
    uids = [uid for uid in client.search(["UID", f"{done + 1}:*"]) if uid > done] if selected[b"EXISTS"] else []
    progress = Progress(folder, int(selected[b"EXISTS"]), int(selected[b"EXISTS"]) - len(uids))
    yield progress
    for batch in _batches(client, sorted(uids)):
        messages = _fetch_messages(client, batch)
        with transaction.atomic():
            if messages:
                put(owner, folder.target, messages)
            mailbox_metadata.set_entries(
                owner, box(owner, folder.target).name, {mark: f"{validity} {batch[-1]}".encode()}
            )
        progress.fetched += len(messages)
        progress.octets += sum(len(message.content) for message in messages)
        yield progress


def _progress_entry(source: Source, folder: str) -> str:
    """The METADATA entry that says how far a folder of that server came."""
    digest = hashlib.sha256(f"{source.host}\0{source.user}\0{folder}".encode()).hexdigest()[:16]
    return f"/private/vendor/youju/migrated-{digest}"


def _last_copied_uid(owner: Owner, mailbox: str, mark: str, validity: int) -> int:
    """The last UID that is here; 0 where the other server numbered its messages anew."""
    found = mailbox_metadata.get_entries(owner, mailbox, [mark])
    said = b"" if isinstance(found, Refusal) else found.get(mark, b"")
    before, _, uid = said.decode().partition(" ")
    return int(uid) if before == str(validity) else 0


def _batches(client: imapclient.IMAPClient, uids: Sequence[int]) -> Iterator[list[int]]:
    """As many at once as memory should hold."""
    sizes: dict[int, int] = {}
    for at in range(0, len(uids), 1000):
        found = client.fetch(uids[at : at + 1000], ["RFC822.SIZE"])
        sizes |= {uid: int(said[b"RFC822.SIZE"]) for uid, said in found.items()}
    batch: list[int] = []
    octets = 0
    for uid in uids:
        if batch and (len(batch) >= _TOGETHER or octets + sizes.get(uid, 0) > _TOGETHER_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(uid)
        octets += sizes.get(uid, 0)
    if batch:
        yield batch


def _fetch_messages(client: imapclient.IMAPClient, uids: Sequence[int]) -> list[MboxMessage]:
    """Those of them that are still there."""
    found = client.fetch(uids, ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
    messages = []
    for uid in uids:
        said = found.get(uid)
        if said is None or said.get(b"BODY[]") is None:
            continue
        given = [flag.decode("ascii", "ignore") for flag in said[b"FLAGS"]]
        moment: datetime | None = said.get(b"INTERNALDATE")
        messages.append(
            MboxMessage(
                mbox.to_crlf(said[b"BODY[]"]),
                sum(wire_flags.BITS.get(flag.lower(), 0) for flag in set(given)),
                tuple(flag for flag in given if flag and not flag.startswith("\\")),
                int(moment.timestamp()) if moment is not None else None,
            )
        )
    return messages


def copy_subscriptions(client: imapclient.IMAPClient, owner: Owner, known: Sequence[Folder]) -> None:
    targets = {folder.name: folder.target for folder in known}
    for _, _, name in client.list_sub_folders():
        if name in targets:
            mailboxes.subscribe_name(owner, targets[name])
