"""Drafts on this side of the connection: what was typed into the compose page, and attached files.

Every post of the compose page is stored before anything else is tried, so neither an expired session nor a broken
connection loses input. Files are in ATTACH_ROOT under random names.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import UploadedFile
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction
from django.utils import timezone

from webmail.models import Composition, Upload
from webmail.values import mime_parts

DRAFT_LIFETIME = timedelta(days=14)
_ORPHAN_AGE = 86400  # seconds after which a file without a row counts as left over from a process that died
SENT, COPY = "sent", "copy"  # keys in the fields of a sent message: digest of its fields; folder and UID of our copy
_signer = TimestampSigner(salt="webmail.message")


@dataclass(frozen=True, slots=True)
class DraftAttachment:
    """A file attached to a draft."""

    id: int
    name: str
    media_type: str
    size: int


def new_ticket(owner: str) -> str:
    """Return the signed token and owner that a compose page carries.

    They prove that a post comes from one of the owner's pages even after the session has expired.
    """
    return _signer.sign_object([secrets.token_urlsafe(18), owner], compress=False)


def ticket_for(token: str, owner: str) -> str:
    return _signer.sign_object([token, owner], compress=False)


def read_ticket(ticket: str) -> tuple[str, str] | None:
    """Return (token, owner), or None unless the ticket was signed by us within KEPT_FOR."""
    try:
        token, owner = _signer.unsign_object(ticket, max_age=DRAFT_LIFETIME)
    except (BadSignature, ValueError):
        return None
    return str(token), str(owner)


@transaction.atomic
def save_draft(token: str, owner: str, fields: dict[str, Any], seen: int | None = None) -> int | None:
    """Store the fields of a draft and return its new version.

    Return None, with nothing stored, if the draft was changed (or sent) since version `seen`, on which the page was
    based. Storing identical fields again is never a conflict.
    """
    row = Composition.objects.select_for_update().filter(token=token, owner=owner).first()
    if row is None:
        Composition.objects.create(token=token, owner=owner, fields=fields, version=1, draft=_uid(fields))
        return 1
    if row.sent:
        return row.version if row.fields.get(SENT, _digest(row.fields)) == _digest(fields) else None
    if row.fields == fields:
        return row.version
    if seen is not None and seen != row.version:
        return None
    row.fields, row.version = fields, row.version + 1
    row.save(update_fields=["fields", "version", "changed"])
    return row.version


def fork_draft(token: str, owner: str, fields: dict[str, Any]) -> str:
    """Store the fields of an outdated page as a new draft with the same files; return its token."""
    new_token = secrets.token_urlsafe(18)
    with transaction.atomic():
        Composition.objects.create(token=new_token, owner=owner, fields=fields | {"draft": ""}, version=1)
        for file in Upload.objects.filter(composition_id=token, composition__owner=owner):
            stored = secrets.token_hex(24)
            os.link(settings.ATTACH_ROOT / file.stored, settings.ATTACH_ROOT / stored)
            _record(new_token, stored, file.name, file.media_type, file.size)
    return new_token


def _uid(fields: dict[str, Any]) -> int:
    """Return the UID of the draft a message was started from, or 0."""
    given = str(fields.get("draft") or "")
    return int(given) if given.isdecimal() and len(given) < 11 else 0


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def load_draft(token: str, owner: str) -> dict[str, Any] | None:
    """Return the fields of a draft, or None if it was sent or belongs to another owner."""
    found = Composition.objects.filter(token=token, owner=owner, sent=False).values_list("fields", flat=True).first()
    return found if isinstance(found, dict) else None


def draft_version(token: str) -> int:
    return Composition.objects.filter(token=token).values_list("version", flat=True).first() or 0


def last_unfinished(owner: str, but: str = "") -> tuple[str, dict[str, Any]] | None:
    """Return (token, fields) of the owner's latest draft that was neither sent nor discarded, or None."""
    rows = Composition.objects.filter(owner=owner, sent=False).exclude(token=but).order_by("-changed")
    return rows.values_list("token", "fields").first()


# --- The copy in Drafts ---------------------------------------------------------------------------


def draft_uid(token: str) -> int:
    """Return the UID of the draft's copy in Drafts, or 0."""
    return Composition.objects.filter(token=token).values_list("draft", flat=True).first() or 0


def record_draft_uid(token: str, uid: int) -> None:
    Composition.objects.filter(token=token).update(draft=uid)


def find_by_draft(owner: str, uid: int) -> str | None:
    """Return the token of the draft whose copy in Drafts has this UID, or None."""
    rows = Composition.objects.filter(owner=owner, draft=uid, sent=False).order_by("-changed")
    return rows.values_list("token", flat=True).first()


# --- Sending --------------------------------------------------------------------------------------


def claim_for_sending(token: str, owner: str) -> bool:
    """Return True for the first of all attempts to send this draft."""
    return Composition.objects.filter(token=token, owner=owner, sent=False).update(sent=True) == 1


def release_claim(token: str) -> None:
    """Make a draft editable again after a failed submission."""
    for fields in Composition.objects.filter(token=token).values_list("fields", flat=True):
        typed = {name: value for name, value in fields.items() if name not in (SENT, COPY)}
        Composition.objects.filter(token=token).update(sent=False, held="", release=None, fields=typed)


def mark_scheduled(token: str, queue_id: str, until: datetime, copy: Sequence[object]) -> None:
    """Record that the server holds the message until `until`; the draft stays, in case it is recalled.

    `copy` is the folder and the UID of our own copy, or empty.
    """
    for fields in Composition.objects.filter(token=token).values_list("fields", flat=True):
        new_fields = fields | {SENT: _digest(fields), COPY: list(copy)}
        Composition.objects.filter(token=token).update(held=queue_id, release=until, fields=new_fields)


@dataclass(frozen=True, slots=True)
class ScheduledDraft:
    """A message that the server holds until its release."""

    token: str
    queue_id: str
    release: datetime
    fields: dict[str, Any]


def list_scheduled(owner: str) -> list[ScheduledDraft]:
    """Return the messages still held, the next one first; released ones are finished."""
    finish_scheduled(owner)
    rows = Composition.objects.filter(owner=owner, sent=True).exclude(held="").order_by("release")
    return [ScheduledDraft(*row) for row in rows.values_list("token", "held", "release", "fields")]


def finish_scheduled(owner: str = "") -> None:
    """Reduce released messages, of this owner or of all, to the record that they were sent."""
    released = Composition.objects.filter(sent=True, release__lte=timezone.now()).exclude(held="")
    for token in (released.filter(owner=owner) if owner else released).values_list("token", flat=True):
        mark_sent(token)


def attach_file(token: str, file: "UploadedFile[bytes]") -> None:
    """Store an uploaded file for a stored draft."""
    settings.ATTACH_ROOT.mkdir(parents=True, exist_ok=True, mode=0o730)
    stored = secrets.token_hex(24)
    path = settings.ATTACH_ROOT / stored
    size = 0
    with path.open("xb") as target:
        path.chmod(0o600)
        for chunk in file.chunks():
            target.write(chunk)
            size += len(chunk)
    _record(token, stored, file.name or "", file.content_type or "", size)


def attach_bytes(token: str, name: str, media_type: str, content: bytes) -> None:
    """Store a file taken from another message for a stored draft."""
    settings.ATTACH_ROOT.mkdir(parents=True, exist_ok=True, mode=0o730)
    stored = secrets.token_hex(24)
    path = settings.ATTACH_ROOT / stored
    path.touch(0o600)
    path.write_bytes(content)
    _record(token, stored, name, media_type, len(content))


def _record(token: str, stored: str, name: str, media_type: str, size: int) -> None:
    Upload.objects.create(
        composition_id=token,
        stored=stored,
        name=mime_parts.safe_file_name(name) or "attachment",
        media_type=media_type if mime_parts.is_media_type(media_type) else "application/octet-stream",
        size=size,
    )


def list_attachments(token: str) -> list[DraftAttachment]:
    rows = Upload.objects.filter(composition_id=token).values_list("id", "name", "media_type", "size")
    return [DraftAttachment(*row) for row in rows]


def read_attachment(token: str, upload_id: int) -> bytes:
    stored = Upload.objects.filter(composition_id=token, id=upload_id).values_list("stored", flat=True).get()
    return bytes((settings.ATTACH_ROOT / stored).read_bytes())


def remove_attachments(token: str, upload_ids: Iterable[int]) -> None:
    _remove_rows(Upload.objects.filter(composition_id=token, id__in=list(upload_ids)).values_list("id", "stored"))


def mark_sent(token: str) -> None:
    """Remove the files and fields of a sent message; its row stays, so that a late second click sends nothing."""
    _remove_rows(Upload.objects.filter(composition_id=token).values_list("id", "stored"))
    for fields in Composition.objects.filter(token=token).values_list("fields", flat=True):
        new_fields = {SENT: fields.get(SENT, _digest(fields))}
        Composition.objects.filter(token=token).update(fields=new_fields, held="", release=None)


def discard_draft(token: str, owner: str) -> None:
    """Delete a draft with its files."""
    with transaction.atomic():
        _remove_rows(Upload.objects.filter(composition_id=token, composition__owner=owner).values_list("id", "stored"))
        Composition.objects.filter(token=token, owner=owner).delete()


def remove_stale() -> None:
    """Delete all drafts unchanged for KEPT_FOR, and files that belong to no draft.

    Runs at most once an hour, when a user logs in.
    """
    if not cache.add("webmail.composing.draft_store.swept", True, 3600):
        return
    finish_scheduled()
    before = timezone.now() - DRAFT_LIFETIME
    old = Composition.objects.filter(changed__lt=before).exclude(release__gt=timezone.now())
    for token, owner in old.values_list("token", "owner"):
        discard_draft(token, owner)
    if not settings.ATTACH_ROOT.is_dir():
        return
    known = set(Upload.objects.values_list("stored", flat=True))
    for path in settings.ATTACH_ROOT.iterdir():
        with suppress(FileNotFoundError):
            if path.name not in known and path.stat().st_mtime < time.time() - _ORPHAN_AGE:
                path.unlink()


def _remove_rows(rows: Iterable[tuple[int, str]]) -> None:
    rows = list(rows)
    Upload.objects.filter(id__in=[upload_id for upload_id, _stored in rows]).delete()
    for _upload_id, stored in rows:
        (settings.ATTACH_ROOT / stored).unlink(missing_ok=True)
