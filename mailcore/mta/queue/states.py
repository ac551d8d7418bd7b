"""The queue: which message is in which state, and every legal move between states.

Only this module writes Queued.state and Recipient.state. A move is an UPDATE guarded by the state it
starts from, so that couriers, administrators and dying processes cannot tread on each other: whoever
comes second changes nothing.

    move       from                        to         who and when
    ─────────  ──────────────────────────  ─────────  ──────────────────────────────────────────────────
    enter      (nothing)                   incoming   intake: durable, we answered 250
    enter      (nothing)                   hold       intake, when a restriction said HOLD
    claim      incoming, deferred (due)    active     a courier, with a lease
    claim      active (lease ran out)      active     another courier: the first is dead or stuck
    settle     active (own)                done       every recipient is delivered, failed or removed
    settle     active (own)                deferred   somebody still waits; due by the back-off rule
    settle     active (own)                hold       everybody who still waits has a mailbox on hold
    settle     hold                        done       held while under way, and every recipient got served
    settle     hold (own)                  hold       somebody still waits; the courier lets go of it
    give back  active (own)                deferred   the courier stops early; due at once
    give back  hold (own)                  hold       the courier lets go of it
    hold       incoming, active, deferred  hold       the administrator; a courier that is at work keeps its
                                                      lease, for what it has under way may still arrive
    release    hold                        deferred   the administrator; due at once, age kept
    release    hold (leased)               active     the courier is still at work: it just goes on
    requeue    incoming, deferred, hold    incoming   the administrator: new queue id, fresh time; refused
                                                      while a courier is at work on the message
    take       incoming, deferred, hold    active     the administrator, to give up on it at once; not while a
                                                      courier is at work on the message
    flush      deferred                    deferred   due at once, whatever was put aside or switched off
    spoil      active (own)                corrupt    its content cannot be read; kept and shown
    remove     any but done                done       the administrator; waiting recipients become removed

A recipient only ever moves from waiting to delivered, failed, expanded or removed, once. An outcome
is recorded whatever has become of the message meanwhile: what was delivered was delivered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import time
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from mailcore import conf
from mailcore.models import Attempt, Queued, Recipient
from mailcore.mta.queue import content_files
from mailcore.store.db.compiled_queries import CompiledQuery, insert_rows
from mailcore.store.notify import notifications
from mailcore.store.processes import instance
from mailcore.values import Expanded, Outcome, OwnedTargets

State = Queued.State
MICRO = 1_000_000


def now_us() -> int:
    return int(time() * MICRO)


@dataclass(frozen=True, slots=True)
class PendingRecipient:
    """One recipient still to be served."""

    id: int
    address: str
    original: str
    final: bool
    notify: str = ""
    orcpt: str = ""
    delay_notified: bool = False
    kind: str = ""  # "command" or "file"; "" for an address


@dataclass(slots=True)
class Claim:
    """A message a courier holds, with everybody it must still reach."""

    id: int
    sender: str
    size: int
    trace_size: int
    received_us: int
    claimed_us: int
    first: bool  # never tried before
    message_id: str
    login: str
    envelope_id: str
    return_full: bool | None
    eight_bit: bool
    smtputf8: bool
    checksum: int | None = None  # CRC-32 of the content file; None: never computed
    is_flushed: bool = False  # somebody wants it tried now, whatever was put aside
    had_failures: bool = False  # somebody was not served at once in this pass
    held_recipients: set[int] = field(default_factory=set)  # duties whose mailboxes are on hold
    pending: list[PendingRecipient] = field(default_factory=list)

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    def damage(self) -> str:
        """Say what is wrong with its content file; "" when nothing is. OSError: it cannot be read now."""
        return content_files.damage(self.id, self.trace_size + self.size, self.checksum)


_CLAIM_FIELDS = (
    *("id", "sender", "size", "trace_size", "received_us", "state", "message_id", "login", "envelope_id"),
    *("checksum", "return_full", "eight_bit", "smtputf8", "due_us"),
)


def _build_claim(row: tuple[Any, ...], now: int) -> Claim:
    queued_id, sender, size, trace_size, received_us, state, message_id, login, envelope_id, checksum = row[:10]
    *marks, due_us = row[10:]
    # SQLite's driver gives truth as a number.
    return_full, eight_bit, smtputf8 = (None if mark is None else bool(mark) for mark in marks)
    return Claim(
        id=queued_id,
        sender=sender,
        size=size,
        trace_size=trace_size,
        received_us=received_us,
        claimed_us=now,
        first=state == State.INCOMING,
        message_id=message_id,
        login=login,
        envelope_id=envelope_id,
        return_full=return_full,
        eight_bit=bool(eight_bit),
        smtputf8=bool(smtputf8),
        checksum=checksum,
        is_flushed=due_us == _FLUSHED,
    )


_FLUSHED = 0  # due_us of a message that was flushed


def claim_due(courier: str, limit: int) -> list[Claim]:
    """Take up to `limit` messages that are due, oldest first, for courier_lease_time."""
    now = now_us()
    with transaction.atomic():
        rows = [*_due.rows(now), *_lost.rows(now)][:limit]
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
    duties = _waiting.rows(list(claims))
    for queued_id, *duty in duties:
        claims[queued_id].pending.append(PendingRecipient(*duty))
    return list(claims.values())


def claim_ids(courier: str, queued_ids: Collection[int]) -> list[Claim]:
    """Take these messages, due or not, for somebody who settles them at once; those that nobody is at work on."""
    now = now_us()
    with transaction.atomic():
        idle = (State.INCOMING, State.DEFERRED, State.HOLD)
        free = Queued.objects.select_for_update().filter(id__in=queued_ids, state__in=idle, lease_us__lt=now)
        rows = list(free.order_by("id").values_list(*_CLAIM_FIELDS))
        lease = now + conf.current().courier_lease_time * MICRO
        taken = Queued.objects.filter(id__in=[row[0] for row in rows])
        taken.update(state=State.ACTIVE, courier=courier, lease_us=lease)
    if not rows:
        return []
    claims = {row[0]: _build_claim(row, now) for row in rows}
    for queued_id, *duty in _waiting.rows(list(claims)):
        claims[queued_id].pending.append(PendingRecipient(*duty))
    return list(claims.values())


_BATCH = 200  # messages one claim takes at most


def _claim_where(condition: Q) -> Any:
    chosen = Queued.unsettled.filter(condition).order_by("due_us")
    if connection.features.has_select_for_update_skip_locked:
        chosen = chosen.select_for_update(skip_locked=True)
    return chosen.values_list(*_CLAIM_FIELDS)[:_BATCH]


_due = CompiledQuery(lambda now: _claim_where(Q(state__in=(State.INCOMING, State.DEFERRED), due_us__lte=now)), int)
_lost = CompiledQuery(lambda now: _claim_where(Q(state=State.ACTIVE, lease_us__lt=now)), int)
_waiting = CompiledQuery(
    lambda ids: (
        Recipient.objects.filter(queued_id__in=ids, state=Recipient.State.WAITING)
        .order_by("id")
        .values_list("queued_id", "id", "address", "original", "final", "notify", "orcpt", "delay_notified", "kind")
    ),
    (int,),
)


_AT_ONCE = 500  # messages of one statement
_HELD = (State.ACTIVE, State.HOLD)  # where a courier may be at work


def renew_lease(courier: str, queued_ids: Collection[int]) -> None:
    """The courier is still at work on these: a new lease."""
    ids, lease = list(queued_ids), now_us() + conf.current().courier_lease_time * MICRO
    for start in range(0, len(ids), _AT_ONCE):
        held = Queued.objects.filter(id__in=ids[start : start + _AT_ONCE], state__in=_HELD, courier=courier)
        held.filter(lease_us__gt=0).update(lease_us=lease)


def still_held(courier: str, queued_ids: Collection[int]) -> set[int]:
    """Which of these messages the courier has still; inside a transaction nobody takes them from it before its end."""
    held = Queued.objects.select_for_update().filter(id__in=queued_ids, state__in=_HELD, courier=courier)
    return set(held.order_by("id").values_list("id", flat=True))


def release_claims(courier: str, keep: Collection[int] = ()) -> None:
    """The courier stops, or stops with all but these messages: what it has is due again at once."""
    held = Queued.unsettled.filter(state__in=_HELD, courier=courier).values_list("id", flat=True)
    ids = list(set(held) - set(keep))
    for start in range(0, len(ids), _AT_ONCE):
        own = Queued.objects.filter(id__in=ids[start : start + _AT_ONCE], courier=courier)
        own.filter(state=State.ACTIVE).update(state=State.DEFERRED, courier="", lease_us=0, due_us=now_us())
        own.filter(state=State.HOLD).update(courier="", lease_us=0)
    if ids:
        notifications.notify_couriers()


def release_dead(own: Collection[str] | None = None) -> None:
    """What couriers of this place held when they were killed is due at once; what others hold, when leases run out.
    `own`: all couriers of this process that are at work, if the caller knows them."""
    for name in active_couriers():
        is_left = own is not None and name not in own and name.startswith(f"{instance.name()}.")
        if is_left or instance.is_dead(name):
            release_claims(name)


def active_couriers() -> set[str]:
    """The couriers that have messages now, dead ones among them until their leases run out."""
    held = Queued.unsettled.filter(state__in=_HELD, lease_us__gt=0)
    return set(held.values_list("courier", flat=True).distinct())


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What one delivery pass over a message came to: an outcome for each duty."""

    claim: Claim
    outcomes: Sequence[tuple[PendingRecipient, Outcome]]
    last: bool = True  # False: other outcomes of this pass are still to come

    @property
    def is_complete(self) -> bool:
        """Nobody waits any more. The claim knows the duties of the pass; earlier outcomes took theirs off."""
        return self.last and not self.claim.pending


def backoff_delay(age_us: int) -> int:
    """Microseconds until the next attempt: the message's age, within the two backoff times."""
    parameters = conf.current()
    low, high = parameters.minimal_backoff_time * MICRO, parameters.maximal_backoff_time * MICRO
    return min(max(age_us, low), high)


def record_results(courier: str, settlements: Sequence[DeliveryResult]) -> None:
    """Record outcomes; call inside the transaction that makes local deliveries visible."""
    now = now_us()
    for settlement in settlements:
        served = {duty.id for duty, outcome in settlement.outcomes if outcome.kind != "deferred"}
        settlement.claim.had_failures |= any(outcome.kind != "delivered" for _, outcome in settlement.outcomes)
        settlement.claim.pending[:] = [duty for duty in settlement.claim.pending if duty.id not in served]
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
                    duty.id,
                )
                for settlement in settlements
                for duty, outcome in settlement.outcomes
            ],
        )
    insert_rows(
        Attempt,
        ("recipient_id", "at_us", "relay", "status", "dsn", "reason"),
        [
            (duty.id, now, outcome.relay[:255], outcome.kind, outcome.dsn, outcome.text)
            for settlement in settlements
            for duty, outcome in settlement.outcomes
            if outcome.kind != "delivered" or outcome.relay != "virtual"
        ],
    )
    left = [s.claim for s in settlements if s.last and not s.is_complete]
    held = [claim for claim in left if all(duty.id in claim.held_recipients for duty in claim.pending)]
    table = Queued._meta.db_table
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET state = 'done', courier = '', lease_us = 0, settled_us = %s"
            " WHERE id = %s AND state IN ('active', 'hold')",
            [(now, s.claim.id) for s in settlements if s.is_complete],
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
    """Put the targets of aliases in the place of the recipients that named them; the claims then hold
    the new duties. Members of a list with an owner get a message of their own. One transaction."""
    now = now_us()
    wanted = list(expansions)
    with transaction.atomic():
        Recipient.objects.filter(id__in=[duty.id for _, duty, _ in wanted], state=Recipient.State.WAITING).update(
            state=Recipient.State.EXPANDED, settled_us=now
        )
        Recipient.objects.bulk_create(
            (
                Recipient(
                    queued_id=held.id,
                    address=target,
                    original=duty.original,
                    final=True,
                    kind=way.kinds.get(target, ""),
                    notify=duty.notify,
                    orcpt=duty.orcpt,
                )
                for held, duty, way in wanted
                for target in way.targets
            ),
            # Two aliases of one message may lead to the same place, and a pass cut short comes here again.
            ignore_conflicts=True,
        )
        for held, duty, way in wanted:
            for part in way.owned:
                _split_for_owner(held.id, duty, part, way.kinds)
    claims = {held.id: held for held, _, _ in wanted}
    for held in claims.values():
        held.pending.clear()
    for queued_id, *fields in _waiting.rows(list(claims)):
        claims[queued_id].pending.append(PendingRecipient(*fields))


def _split_for_owner(queued_id: int, duty: PendingRecipient, part: OwnedTargets, kinds: Mapping[str, str]) -> None:
    """A message of the same content and age for the members of a list, from the list's owner. What the sender
    asked to be told (NOTIFY) ends at the list (RFC 3461 §5.2.7.3)."""
    new_id = content_files.copy(queued_id)
    row = Queued.objects.get(id=queued_id)
    row.id, row.state, row.due_us = new_id, State.INCOMING, now_us()
    row.courier, row.lease_us, row.sender = "", 0, part.sender
    row.save(force_insert=True)
    Recipient.objects.bulk_create(
        Recipient(queued_id=new_id, address=target, original=duty.original, final=True, kind=kinds.get(target, ""))
        for target in part.targets
    )
    notifications.notify_couriers()


def mark_corrupt(courier: str, queued_id: int) -> bool:
    """The content cannot be read: the message is set aside, its file (if there is one) kept."""
    moved = Queued.objects.filter(id=queued_id, state=State.ACTIVE, courier=courier).update(
        state=State.CORRUPT, courier="", lease_us=0
    )
    return bool(moved)


def hold(queued_ids: Collection[int]) -> int:
    """incoming, active, deferred → hold. Returns how many moved."""
    return Queued.objects.filter(id__in=queued_ids, state__in=(State.INCOMING, State.ACTIVE, State.DEFERRED)).update(
        state=State.HOLD
    )


def release(queued_ids: Collection[int]) -> int:
    """hold → deferred, due at once, into mailboxes that are on hold too; the age stays. A message that a courier is
    still at work on is its again: were it due for others, they would deliver it a second time."""
    held = Queued.objects.filter(id__in=queued_ids, state=State.HOLD)
    count = held.filter(lease_us__gt=now_us()).update(state=State.ACTIVE)
    count += held.update(state=State.DEFERRED, due_us=_FLUSHED, courier="", lease_us=0)
    notifications.notify_couriers()
    return count


def flush(queued_ids: Collection[int] | None = None) -> int:
    """Deferred messages are due at once: these, or all. Held ones stay. They are tried whatever defer_transports
    says and however their destinations behaved."""
    chosen = Queued.unsettled.filter(state=State.DEFERRED)
    if queued_ids is not None:
        chosen = chosen.filter(id__in=queued_ids)
    count = chosen.update(due_us=_FLUSHED)
    notifications.notify_couriers()
    return count


def remove(queued_ids: Collection[int]) -> int:
    """Any state but done → done; who still waited is removed without a bounce. Returns how many."""
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
    """Once the database has it that these messages are done, an outer transaction included."""
    for queued_id in queued_ids:
        transaction.on_commit(partial(content_files.remove_content, queued_id))


def requeue(queued_id: int) -> int | None:
    """A new life under a new queue id: fresh time, addresses looked up again. None: not possible now
    (a courier is at work on it, it is done or corrupt, or its content is gone). Returns the new id."""
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
    """`requeue` each; how many that was possible for."""
    return sum(requeue(queued_id) is not None for queued_id in queued_ids)


def delete_old_history() -> int:
    """Drop the history of messages settled longer ago than queue_history_time; returns how many. A message whose content
    file is still there stays: it may be all that is left of a message (`leftovers.recover`)."""
    before = now_us() - conf.current().queue_history_time * MICRO
    # Ids rise with time: what came later was settled later.
    settled = Queued.objects.filter(id__lt=content_files.first_id_at(before), settled_us__lt=before).order_by("id")
    present = set(content_files.stored_ids())
    old = [queued_id for queued_id in settled.values_list("id", flat=True)[:10_000] if queued_id not in present]
    Queued.objects.filter(id__in=old).delete()
    return len(old)


def seconds_until_due() -> float | None:
    """How long until the next message is due; None when nothing waits."""
    waiting = Queued.unsettled.filter(state__in=(State.INCOMING, State.DEFERRED)).order_by("due_us")
    first = waiting.values_list("due_us", flat=True).first()
    return None if first is None else max(0.0, (first - now_us()) / MICRO)


def has_expired_lease() -> bool:
    """Has some courier let a lease run out?"""
    return Queued.unsettled.filter(state=State.ACTIVE, lease_us__lt=now_us()).exists()
