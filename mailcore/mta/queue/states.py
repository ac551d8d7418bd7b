"""The message queue: the state of each message, and every legal transition between states.

Only this module writes Queued.state and Recipient.state. A transition is an UPDATE guarded by the state it starts from,
so that couriers, administrators and dying processes cannot interfere with each other: the second one changes
nothing.

    transition     from                        to         by whom and when
    ─────────────  ──────────────────────────  ─────────  ──────────────────────────────────────────────────────
    enqueue        (none)                      incoming   the receiver: content durable, the client gets 250
    enqueue        (none)                      hold       the receiver, if a restriction returned HOLD
    claim          incoming, deferred (due)    active     a courier, with a lease
    claim          active (lease expired)      active     another courier: the first is dead or stuck
    record         active (own)                done       every recipient is delivered, failed or removed
    record         active (own)                deferred   recipients are pending; due by the back-off rule
    record         active (own)                hold       all pending recipients have mailboxes on hold
    record         hold                        done       put on hold during delivery, all recipients served
    record         hold (own)                  hold       recipients are pending; the courier's claim ends
    release claim  active (own)                deferred   the courier stops early; due at once
    release claim  hold (own)                  hold       the courier's claim ends
    hold           incoming, active, deferred  hold       the administrator; an active courier keeps its lease,
                                                          since its deliveries may still succeed
    release        hold                        deferred   the administrator; due at once, age unchanged
    release        hold (leased)               active     the courier is still at work and continues
    requeue        incoming, deferred, hold    incoming   the administrator: new queue id and arrival time;
                                                          refused while a courier has the message
    claim ids      incoming, deferred, hold    active     the administrator, to return it to its sender at once;
                                                          not while a courier has the message
    flush          deferred                    deferred   due at once, whatever transports are deferred
    correct times  incoming, deferred          (same)     housekeeping: due at once, for the clock was ahead
    mark corrupt   active (own)                corrupt    its content cannot be read; stored and listed
    remove         any but done                done       the administrator; pending recipients become removed

A recipient only ever moves from waiting to delivered, failed, expanded or removed, once. An outcome is recorded
whatever the state of the message is by then: what was delivered was delivered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from time import time
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from mailcore import conf
from mailcore.models import Attempt, Queued, Recipient
from mailcore.mta.queue import content_files
from mailcore.mta.queue.claim import Claim, DeliveryResult, PendingRecipient
from mailcore.store.db.compiled_queries import CompiledQuery, insert_rows
from mailcore.store.notify import notifications
from mailcore.store.processes import instance
from mailcore.values import Expanded, OwnedTargets

State = Queued.State
MICRO = 1_000_000


_CLOCK_TOLERANCE = 60 * MICRO  # Clocks of several machines may differ by this much.


def now_us() -> int:
    return int(time() * MICRO)


_CLAIM_FIELDS = (
    *("id", "sender", "size", "trace_size", "received_us", "state", "message_id", "login", "envelope_id"),
    *("checksum", "return_full", "eight_bit", "smtputf8", "due_us"),
)


def _build_claim(row: tuple[Any, ...], now: int) -> Claim:
    queued_id, sender, size, trace_size, received_us, state, message_id, login, envelope_id, checksum = row[:10]
    *marks, due_us = row[10:]
    # SQLite's driver returns booleans as numbers.
    return_full, eight_bit, smtputf8 = (None if mark is None else bool(mark) for mark in marks)
    return Claim(
        id=queued_id,
        sender=sender,
        size=size,
        trace_size=trace_size,
        received_us=received_us,
        claimed_us=now,
        is_first_attempt=state == State.INCOMING,
        message_id=message_id,
        login=login,
        envelope_id=envelope_id,
        return_full=return_full,
        eight_bit=bool(eight_bit),
        smtputf8=bool(smtputf8),
        checksum=checksum,
        is_flushed=due_us == _FLUSHED,
    )


_FLUSHED = 0  # The due_us of a flushed message.


def claim_due(courier: str, limit: int) -> list[Claim]:
    """Claim up to `limit` due messages, oldest first, for courier_lease_time."""
    now = now_us()
    with transaction.atomic():
        rows = [*_due.rows(now), *_expired.rows(now)][:limit]
        if not rows:
            return []
        with connection.cursor() as cursor:
            lease = now + conf.current().courier_lease_time * MICRO
            cursor.executemany(
                f"UPDATE {Queued._meta.db_table} SET state = 'active', courier = %s, lease_us = %s"
                " WHERE id = %s AND (state IN ('incoming', 'deferred') OR (state = 'active' AND lease_us < %s))",
                [(courier, lease, row[0], now) for row in rows],
            )
    claims = {row[0]: _build_claim(row, now) for row in rows}
    recipients = _waiting.rows(list(claims))
    for queued_id, *recipient in recipients:
        claims[queued_id].pending.append(PendingRecipient(*recipient))
    return list(claims.values())


def claim_ids(courier: str, queued_ids: Collection[int]) -> list[Claim]:
    """Claim those of these messages that no courier has, due or not, for a caller that records results at once."""
    now = now_us()
    with transaction.atomic():
        idle = (State.INCOMING, State.DEFERRED, State.HOLD)
        free = Queued.objects.select_for_update().filter(id__in=queued_ids, state__in=idle, lease_us__lt=now)
        rows = list(free.order_by("id").values_list(*_CLAIM_FIELDS))
        lease = now + conf.current().courier_lease_time * MICRO
        claimed = Queued.objects.filter(id__in=[row[0] for row in rows])
        claimed.update(state=State.ACTIVE, courier=courier, lease_us=lease)
    if not rows:
        return []
    claims = {row[0]: _build_claim(row, now) for row in rows}
    for queued_id, *recipient in _waiting.rows(list(claims)):
        claims[queued_id].pending.append(PendingRecipient(*recipient))
    return list(claims.values())


_CLAIM_LIMIT = 200  # Messages per query for due ones.


def _claim_where(condition: Q) -> Any:
    rows = Queued.unsettled.filter(condition).order_by("due_us")
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    return rows.values_list(*_CLAIM_FIELDS)[:_CLAIM_LIMIT]


_due = CompiledQuery(lambda now: _claim_where(Q(state__in=(State.INCOMING, State.DEFERRED), due_us__lte=now)), int)
_expired = CompiledQuery(lambda now: _claim_where(Q(state=State.ACTIVE, lease_us__lt=now)), int)
_waiting = CompiledQuery(
    lambda ids: (
        Recipient.objects.filter(queued_id__in=ids, state=Recipient.State.WAITING)
        .order_by("id")
        .values_list("queued_id", "id", "address", "original", "final", "notify", "orcpt", "delay_notified", "kind")
    ),
    (int,),
)


_BATCH = 500  # Messages per statement.
_HELD = (State.ACTIVE, State.HOLD)  # The states in which a courier may be at work on a message.


def renew_lease(courier: str, queued_ids: Collection[int]) -> None:
    """Renew the leases of the messages that a courier still works on."""
    ids, lease = list(queued_ids), now_us() + conf.current().courier_lease_time * MICRO
    for start in range(0, len(ids), _BATCH):
        held = Queued.objects.filter(id__in=ids[start : start + _BATCH], state__in=_HELD, courier=courier)
        held.filter(lease_us__gt=0).update(lease_us=lease)


def still_held(courier: str, queued_ids: Collection[int]) -> set[int]:
    """Return those of these messages that the courier still has; in a transaction they stay its own until the end."""
    held = Queued.objects.select_for_update().filter(id__in=queued_ids, state__in=_HELD, courier=courier)
    return set(held.order_by("id").values_list("id", flat=True))


def release_claims(courier: str, keep: Collection[int] = ()) -> None:
    """Make the courier's messages, all but those in `keep`, due at once: it stops working on them."""
    held = Queued.unsettled.filter(state__in=_HELD, courier=courier).values_list("id", flat=True)
    ids = list(set(held) - set(keep))
    for start in range(0, len(ids), _BATCH):
        own = Queued.objects.filter(id__in=ids[start : start + _BATCH], courier=courier)
        own.filter(state=State.ACTIVE).update(state=State.DEFERRED, courier="", lease_us=0, due_us=now_us())
        own.filter(state=State.HOLD).update(courier="", lease_us=0)
    if ids:
        notifications.notify_couriers()


def release_dead(own: Collection[str] | None = None) -> None:
    """Release the messages of killed couriers of this host; those of other hosts become due when leases expire.

    `own`: all running couriers of this process, if the caller knows them.
    """
    for name in active_couriers():
        is_left = own is not None and name not in own and name.startswith(f"{instance.name()}.")
        if is_left or instance.is_dead(name):
            release_claims(name)


def active_couriers() -> set[str]:
    """Return the names of the couriers that have messages, including dead ones until their leases expire."""
    held = Queued.unsettled.filter(state__in=_HELD, lease_us__gt=0)
    return set(held.values_list("courier", flat=True).distinct())


def backoff_delay(age_us: int) -> int:
    """Return the microseconds until the next attempt: the message's age, within the two backoff times."""
    parameters = conf.current()
    low, high = parameters.minimal_backoff_time * MICRO, parameters.maximal_backoff_time * MICRO
    return min(max(age_us, low), high)


def correct_future_times() -> int:
    """Make messages due that wait longer than any rule lets them, and return their number.

    They were written while the clock was ahead. A message that its sender scheduled waits at most
    smtpd_future_release_limit, any other one maximal_backoff_time.
    """
    parameters, now = conf.current(), now_us()
    scheduled = now + parameters.smtpd_future_release_limit * MICRO + _CLOCK_TOLERANCE
    retried = now + max(parameters.minimal_backoff_time, parameters.maximal_backoff_time) * MICRO + _CLOCK_TOLERANCE
    ahead = Q(received_us__gt=now + _CLOCK_TOLERANCE)
    waiting = Queued.unsettled.filter(
        Q(state=State.INCOMING, due_us__gt=scheduled)
        | Q(state=State.INCOMING, due_us=F("received_us")) & ahead
        | Q(state=State.DEFERRED, due_us__gt=retried)
    )
    count = waiting.update(due_us=now)
    Queued.unsettled.filter(ahead).update(received_us=now)
    if count:
        notifications.notify_couriers()
    return count


def record_results(courier: str, results: Sequence[DeliveryResult]) -> None:
    """Record outcomes. Call inside the transaction that makes local deliveries visible."""
    now = now_us()
    for result in results:
        served = {recipient.id for recipient, outcome in result.outcomes if outcome.kind != "deferred"}
        result.claim.had_failures |= any(outcome.kind != "delivered" for _, outcome in result.outcomes)
        result.claim.pending[:] = [recipient for recipient in result.claim.pending if recipient.id not in served]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {Recipient._meta.db_table} SET state = %s, dsn = %s, relay = %s, reason = %s, settled_us = %s"
            " WHERE id = %s AND state = 'waiting'",
            [
                (
                    "waiting" if outcome.kind == "deferred" else outcome.kind,
                    outcome.dsn,
                    outcome.relay[:255],
                    outcome.text,
                    None if outcome.kind == "deferred" else now,
                    recipient.id,
                )
                for result in results
                for recipient, outcome in result.outcomes
            ],
        )
    insert_rows(
        Attempt,
        ("recipient_id", "at_us", "relay", "status", "dsn", "reason"),
        [
            (recipient.id, now, outcome.relay[:255], outcome.kind, outcome.dsn, outcome.text)
            for result in results
            for recipient, outcome in result.outcomes
            if outcome.kind != "delivered" or outcome.relay != "virtual"
        ],
    )
    left = [s.claim for s in results if s.is_last and not s.is_complete]
    held = [claim for claim in left if all(recipient.id in claim.held_recipients for recipient in claim.pending)]
    table = Queued._meta.db_table
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET state = 'done', courier = '', lease_us = 0, settled_us = %s"
            " WHERE id = %s AND state IN ('active', 'hold')",
            [(now, s.claim.id) for s in results if s.is_complete],
        )
        cursor.executemany(
            f"UPDATE {table} SET state = 'hold', courier = '', lease_us = 0"
            " WHERE id = %s AND state = 'active' AND courier = %s",
            [(claim.id, courier) for claim in held],
        )
        cursor.executemany(
            f"UPDATE {table} SET state = 'deferred', courier = '', lease_us = 0, due_us = %s"
            " WHERE id = %s AND state = 'active' AND courier = %s",
            [(now + backoff_delay(now - claim.received_us), claim.id, courier) for claim in left],
        )
        cursor.executemany(
            f"UPDATE {table} SET courier = '', lease_us = 0 WHERE id = %s AND state = 'hold' AND courier = %s",
            [(claim.id, courier) for claim in left],
        )


def replace_with_targets(expansions: Iterable[tuple[Claim, PendingRecipient, Expanded]]) -> None:
    """Replace recipients by the targets of their aliases, in the database and in the claims, in one transaction.

    The members of a list with an owner get a message of their own.
    """
    now = now_us()
    pairs = list(expansions)
    with transaction.atomic():
        Recipient.objects.filter(
            id__in=[recipient.id for _, recipient, _ in pairs], state=Recipient.State.WAITING
        ).update(state=Recipient.State.EXPANDED, settled_us=now)
        Recipient.objects.bulk_create(
            (
                Recipient(
                    queued_id=claim.id,
                    address=target,
                    original=recipient.original,
                    final=True,
                    kind=route.kinds.get(target, ""),
                    notify=recipient.notify,
                    orcpt=recipient.orcpt,
                )
                for claim, recipient, route in pairs
                for target in route.targets
            ),
            # Two aliases of one message may have a common target, and an interrupted pass is repeated.
            ignore_conflicts=True,
        )
        for claim, recipient, route in pairs:
            for part in route.owned:
                _split_for_owner(claim.id, recipient, part, route.kinds)
    claims = {claim.id: claim for claim, _, _ in pairs}
    for claim in claims.values():
        claim.pending.clear()
    for queued_id, *fields in _waiting.rows(list(claims)):
        claims[queued_id].pending.append(PendingRecipient(*fields))


def _split_for_owner(queued_id: int, recipient: PendingRecipient, part: OwnedTargets, kinds: Mapping[str, str]) -> None:
    """Queue a message of equal content and age for the members of a list, with the list's owner as sender.

    The sender's NOTIFY request ends at the list (RFC 3461 §5.2.7.3).
    """
    new_id = content_files.copy(queued_id)
    row = Queued.objects.get(id=queued_id)
    row.id, row.state, row.due_us = new_id, State.INCOMING, now_us()
    row.courier, row.lease_us, row.sender = "", 0, part.sender
    row.save(force_insert=True)
    Recipient.objects.bulk_create(
        Recipient(queued_id=new_id, address=target, original=recipient.original, final=True, kind=kinds.get(target, ""))
        for target in part.targets
    )
    notifications.notify_couriers()


def mark_corrupt(courier: str, queued_id: int) -> bool:
    """Move a message whose content cannot be read to the corrupt queue. Return True if it was moved."""
    moved = Queued.objects.filter(id=queued_id, state=State.ACTIVE, courier=courier).update(
        state=State.CORRUPT, courier="", lease_us=0
    )
    return bool(moved)


def hold(queued_ids: Collection[int]) -> int:
    """Move incoming, active and deferred messages to hold; return how many."""
    return Queued.objects.filter(id__in=queued_ids, state__in=(State.INCOMING, State.ACTIVE, State.DEFERRED)).update(
        state=State.HOLD
    )


def release(queued_ids: Collection[int]) -> int:
    """Move held messages to deferred, due at once, even into mailboxes on hold; return how many.

    Their age is unchanged. A message that a courier still works on becomes active again: if it were due, another
    courier would deliver it a second time.
    """
    held = Queued.objects.filter(id__in=queued_ids, state=State.HOLD)
    count = held.filter(lease_us__gt=now_us()).update(state=State.ACTIVE)
    count += held.update(state=State.DEFERRED, due_us=_FLUSHED, courier="", lease_us=0)
    notifications.notify_couriers()
    return count


def flush(queued_ids: Collection[int] | None = None) -> int:
    """Make deferred messages due at once, these or all, and return how many. Held messages are unchanged.

    They are tried even if defer_transports lists their transport or their destination failed lately.
    """
    deferred = Queued.unsettled.filter(state=State.DEFERRED)
    if queued_ids is not None:
        deferred = deferred.filter(id__in=queued_ids)
    count = deferred.update(due_us=_FLUSHED)
    notifications.notify_couriers()
    return count


def remove(queued_ids: Collection[int]) -> int:
    """Move messages in any state but done to done, and return how many. Pending recipients get no bounce."""
    now = now_us()
    with transaction.atomic():
        moving = list(
            Queued.objects.select_for_update()
            .filter(id__in=queued_ids)
            .exclude(state=State.DONE)
            .values_list("id", flat=True)
        )
        Recipient.objects.filter(queued_id__in=moving, state=Recipient.State.WAITING).update(
            state=Recipient.State.REMOVED, settled_us=now
        )
        Queued.objects.filter(id__in=moving).update(state=State.DONE, courier="", lease_us=0, settled_us=now)
    _remove_files(moving)
    return len(moving)


def _remove_files(queued_ids: Collection[int]) -> None:
    """Remove the content files once the outermost transaction has committed."""
    for queued_id in queued_ids:
        transaction.on_commit(partial(content_files.remove_content, queued_id))


def requeue(queued_id: int) -> int | None:
    """Give a message a new queue id and arrival time and look its addresses up again. Return the new id.

    Return None if that is not possible now: a courier has the message, it is done or corrupt, or it has no content
    file.
    """
    now = now_us()
    try:
        new_id = content_files.copy(queued_id)
    except FileNotFoundError:
        return None
    with transaction.atomic():
        old = (
            Queued.objects.select_for_update()
            .filter(id=queued_id, state__in=(State.INCOMING, State.DEFERRED, State.HOLD), lease_us__lt=now)
            .first()
        )
        if old is None:
            content_files.remove_content(new_id)
            return None
        waiting = list(Recipient.objects.filter(queued=old, state=Recipient.State.WAITING))
        Queued.objects.filter(id=queued_id).update(state=State.DONE, settled_us=now, courier="", lease_us=0)
        Recipient.objects.filter(queued=old, state=Recipient.State.WAITING).update(
            state=Recipient.State.REMOVED, settled_us=now
        )
        old.id, old.state, old.received_us, old.due_us = new_id, State.INCOMING, now, now
        old.courier, old.lease_us = "", 0
        old.save(force_insert=True)
        Recipient.objects.bulk_create(
            Recipient(
                queued_id=new_id,
                address=r.original,
                original=r.original,
                notify=r.notify,
                orcpt=r.orcpt,
            )
            for r in {r.original: r for r in waiting}.values()
        )
        notifications.notify_couriers()
    _remove_files([queued_id])
    return new_id


def requeue_many(queued_ids: Iterable[int]) -> int:
    """Requeue several messages; return how many were requeued."""
    return sum(requeue(queued_id) is not None for queued_id in queued_ids)


def delete_old_history() -> int:
    """Delete messages completed longer ago than queue_history_time; return how many.

    A message whose content file still exists stays: the file may be the only copy left (`recover_after_crash`).
    """
    before = now_us() - conf.current().queue_history_time * MICRO
    # Ids rise with time: a later id was completed later.
    settled = Queued.objects.filter(id__lt=content_files.first_id_at(before), settled_us__lt=before).order_by("id")
    present = set(content_files.stored_ids())
    old = [queued_id for queued_id in settled.values_list("id", flat=True)[:10_000] if queued_id not in present]
    Queued.objects.filter(id__in=old).delete()
    return len(old)


def seconds_until_due() -> float | None:
    """Return the seconds until the next message is due, None if none waits."""
    waiting = Queued.unsettled.filter(state__in=(State.INCOMING, State.DEFERRED)).order_by("due_us")
    first = waiting.values_list("due_us", flat=True).first()
    return None if first is None else max(0.0, (first - now_us()) / MICRO)


def has_expired_lease() -> bool:
    """Return True if the lease of any courier has expired."""
    return Queued.unsettled.filter(state=State.ACTIVE, lease_us__lt=now_us()).exists()
