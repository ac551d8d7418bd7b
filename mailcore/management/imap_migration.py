"""Migration of one account's mail from another IMAP server, for `imapmigrate`.

Folders, flags, dates and subscriptions are copied. A migration may be interrupted and repeated at any time: the
progress of each mailbox is recorded (as METADATA of the mailbox) in the transaction that inserts its messages, so
nothing is fetched twice, and a later run fetches new messages.
"""

import hashlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import imapclient
from django.db import transaction
from imapclient.exceptions import IMAPClientError

from mailcore.management.commands.mailimport import append_batch, open_target
from mailcore.management.program import Fatal
from mailcore.store.mailbox import mailbox_metadata, mailboxes
from mailcore.values import Owner, Refusal
from mailcore.wire.files import mbox
from mailcore.wire.files.mbox import MboxMessage
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap import system_flags as wire_flags

_BATCH_COUNT = 100
_BATCH_BYTES = 1 << 23
_VIRTUAL = frozenset(("\\all", "\\flagged", "\\important", "\\noselect", "\\nonexistent"))
# Names of special mailboxes on servers without special-use attributes (RFC 6154).
_USUAL_NAMES = {
    "sent": "\\Sent", "sent items": "\\Sent", "sent messages": "\\Sent", "sent mail": "\\Sent", "已发送": "\\Sent",
    "draft": "\\Drafts", "drafts": "\\Drafts", "草稿箱": "\\Drafts",
    "trash": "\\Trash", "deleted items": "\\Trash", "deleted messages": "\\Trash", "已删除": "\\Trash",
    "junk": "\\Junk", "junk e-mail": "\\Junk", "junk email": "\\Junk", "spam": "\\Junk", "垃圾邮件": "\\Junk",
    "archive": "\\Archive", "archives": "\\Archive", "归档": "\\Archive",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """The account on the other server; `security` is "tls", "starttls" or "none"."""

    host: str
    port: int
    security: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox on the other server, and the local one its messages go to."""

    name: str
    target: str


@dataclass(slots=True)
class Progress:
    """The progress of one folder: messages there, those of earlier runs, those of this run and their bytes."""

    folder: Folder
    there: int
    before: int
    fetched: int = 0
    byte_count: int = 0


def connect_source(source: Source, timeout: float) -> imapclient.IMAPClient:
    """Connect and log in to the other server; raise Fatal if that fails."""
    context = ssl.create_default_context()
    if source.host in ("localhost", "127.0.0.1", "::1"):  # on this machine a certificate proves nothing
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
    """Return every mailbox on the other server that can hold messages, with its local target."""
    special = {each.special_use: each.name for each in mailboxes.list_mailboxes(owner) if each.special_use}
    prefix = _personal_prefix(client)
    responses: list[Folder] = []
    taken = {"INBOX"}
    for flags, delimiter, name in client.list_folders():
        attributes = {flag.decode().lower() for flag in flags}
        if attributes & _VIRTUAL:
            continue
        local = _local_name(name, (delimiter or b"").decode(), prefix)
        use = next((use for use in special if use.lower() in attributes), "") or _USUAL_NAMES.get(local.lower(), "")
        target = special.get(use, local)
        if local != "INBOX" and target in taken:  # two mailboxes claim the same special use
            target = local
        taken.add(target)
        responses.append(Folder(name, target))
    return responses


def _personal_prefix(client: imapclient.IMAPClient) -> str:
    """Return "INBOX." if the server keeps all mailboxes below INBOX, else ""."""
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
    """Fetch the messages that are not here yet; yield the progress after every batch."""
    selected = client.select_folder(folder.name, readonly=True)
    validity = int(selected[b"UIDVALIDITY"])
    entry = _progress_entry(source, folder.name)
    last_uid = _last_copied_uid(owner, folder.target, entry, validity)
    uids = [uid for uid in client.search(["UID", f"{last_uid + 1}:*"]) if uid > last_uid] if selected[b"EXISTS"] else []
    progress = Progress(folder, int(selected[b"EXISTS"]), int(selected[b"EXISTS"]) - len(uids))
    yield progress
    for batch in _batches(client, sorted(uids)):
        messages = _fetch_messages(client, batch)
        with transaction.atomic():
            if messages:
                append_batch(owner, folder.target, messages)
            mailbox_metadata.set_entries(
                owner, open_target(owner, folder.target).name, {entry: f"{validity} {batch[-1]}".encode()}
            )
        progress.fetched += len(messages)
        progress.byte_count += sum(len(message.content) for message in messages)
        yield progress


def _progress_entry(source: Source, folder: str) -> str:
    """Return the METADATA entry that records the progress of a folder."""
    digest = hashlib.sha256(f"{source.host}\0{source.user}\0{folder}".encode()).hexdigest()[:16]
    return f"/private/vendor/youju/migrated-{digest}"


def _last_copied_uid(owner: Owner, mailbox: str, entry: str, validity: int) -> int:
    """Return the last UID that was copied, or 0 if the other server has a new UIDVALIDITY."""
    responses = mailbox_metadata.get_entries(owner, mailbox, [entry])
    data = b"" if isinstance(responses, Refusal) else responses.get(entry, b"")
    before, _, uid = data.decode().partition(" ")
    return int(uid) if before == str(validity) else 0


def _batches(client: imapclient.IMAPClient, uids: Sequence[int]) -> Iterator[list[int]]:
    """Yield UIDs in batches of limited count and size, to bound memory use."""
    sizes: dict[int, int] = {}
    for start in range(0, len(uids), 1000):
        responses = client.fetch(uids[start : start + 1000], ["RFC822.SIZE"])
        sizes |= {uid: int(data[b"RFC822.SIZE"]) for uid, data in responses.items()}
    batch: list[int] = []
    byte_count = 0
    for uid in uids:
        if batch and (len(batch) >= _BATCH_COUNT or byte_count + sizes.get(uid, 0) > _BATCH_BYTES):
            yield batch
            batch, byte_count = [], 0
        batch.append(uid)
        byte_count += sizes.get(uid, 0)
    if batch:
        yield batch


def _fetch_messages(client: imapclient.IMAPClient, uids: Sequence[int]) -> list[MboxMessage]:
    """Fetch the messages that still exist."""
    responses = client.fetch(uids, ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
    messages = []
    for uid in uids:
        data = responses.get(uid)
        if data is None or data.get(b"BODY[]") is None:
            continue
        flag_names = [flag.decode("ascii", "ignore") for flag in data[b"FLAGS"]]
        moment: datetime | None = data.get(b"INTERNALDATE")
        messages.append(
            MboxMessage(
                mbox.to_crlf(data[b"BODY[]"]),
                sum(wire_flags.BITS.get(flag.lower(), 0) for flag in set(flag_names)),
                tuple(flag for flag in flag_names if flag and not flag.startswith("\\")),
                int(moment.timestamp()) if moment is not None else None,
            )
        )
    return messages


def copy_subscriptions(client: imapclient.IMAPClient, owner: Owner, folders: Sequence[Folder]) -> None:
    targets = {folder.name: folder.target for folder in folders}
    for _, _, name in client.list_sub_folders():
        if name in targets:
            mailboxes.subscribe_name(owner, targets[name])
