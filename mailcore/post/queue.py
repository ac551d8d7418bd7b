"""The queue: which letter is in which state, and every legal move between states.

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
                                                      while a courier is at work on the letter
    take       incoming, deferred, hold    active     the administrator, to give up on it at once; not while a
                                                      courier is at work on the letter
    flush      deferred                    deferred   due at once, whatever was put aside or switched off
    spoil      active (own)                corrupt    its content cannot be read; kept and shown
    remove     any but done                done       the administrator; waiting recipients become removed

A recipient only ever moves from waiting to delivered, failed, expanded or removed, once. An outcome
is recorded whatever has become of the letter meanwhile: what was delivered was delivered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from mailcore import conf
from mailcore.models import Attempt, Queued, Recipient
from mailcore.post import files
from mailcore.store import instance, news
from mailcore.store.prepared import Prepared, insert
from mailcore.terms import Expanded, Outcome, Owned

State = Queued.State
MICRO = 1_000_000


def now_us() -> int:
    return int(time() * MICRO)


@dataclass(frozen=True, slots=True)
class Duty:
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
    """A letter a courier holds, with everybody it must still reach."""

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
    flushed: bool = False  # somebody wants it tried now, whatever was put aside
    troubled: bool = False  # somebody was not served at once in this pass
    held: set[int] = field(default_factory=set)  # duties whose mailboxes are on hold
    duties: list[Duty] = field(default_factory=list)

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    def damage(self) -> str:
        """Say what is wrong with its content file; "" when nothing is. OSError: it cannot be read now."""
        return files.damage(self.id, self.trace_size + self.size, self.checksum)


_CLAIM_FIELDS = (
    *("id", "sender", "size", "trace_size", "received_us", "state", "message_id", "login", "envelope_id"),
    *("checksum", "return_full", "eight_bit", "smtputf8", "due_us"),
)


def _claim(row: tuple[Any, ...], now: int) -> Claim:
    letter_id, sender, size, trace_size, received_us, state, message_id, login, envelope_id, checksum = row[:10]
    *marks, due_us = row[10:]
    # SQLite's driver gives truth as a number.
    return_full, eight_bit, smtputf8 = (None if mark is None else bool(mark) for mark in marks)
    return Claim(
        id=letter_id,
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
        flushed=due_us == _FLUSHED,
    )


_FLUSHED = 0  # due_us of a letter that was flushed


def claim(courier: str, limit: int) -> list[Claim]:
    """Take up to `limit` letters that are due, oldest first, for courier_lease_time."""
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
    claims = {row[0]: _claim(row, now) for row in rows}
    duties = _waiting.rows(list(claims))
    for letter_id, *duty in duties:
        claims[letter_id].duties.append(Duty(*duty))
    return list(claims.values())


def take(courier: str, letter_ids: Collection[int]) -> list[Claim]:
    """Take these letters, due or not, for somebody who settles them at once; those that nobody is at work on."""
    now = now_us()
    with transaction.atomic():
        idle = (State.INCOMING, State.DEFERRED, State.HOLD)
        free = Queued.objects.select_for_update().filter(id__in=letter_ids, state__in=idle, lease_us__lt=now)
        rows = list(free.order_by("id").values_list(*_CLAIM_FIELDS))
        lease = now + conf.current().courier_lease_time * MICRO
        taken = Queued.objects.filter(id__in=[row[0] for row in rows])
        taken.update(state=State.ACTIVE, courier=courier, lease_us=lease)
    if not rows:
        return []
    claims = {row[0]: _claim(row, now) for row in rows}
    for letter_id, *duty in _waiting.rows(list(claims)):
        claims[letter_id].duties.append(Duty(*duty))
    return list(claims.values())


_BATCH = 200  # letters one claim takes at most


def _take(condition: Q) -> Any:
    chosen = Queued.unsettled.filter(condition).order_by("due_us")
    if connection.features.has_select_for_update_skip_locked:
        chosen = chosen.select_for_update(skip_locked=True)
    return chosen.values_list(*_CLAIM_FIELDS)[:_BATCH]


_due = Prepared(lambda now: _take(Q(state__in=(State.INCOMING, State.DEFERRED), due_us__lte=now)), int)
_lost = Prepared(lambda now: _take(Q(state=State.ACTIVE, lease_us__lt=now)), int)
_waiting = Prepared(
    lambda ids: (
        Recipient.objects.filter(letter_id__in=ids, state=Recipient.State.WAITING)
        .order_by("id")
        .values_list("letter_id", "id", "address", "original", "final", "notify", "orcpt", "delay_notified", "kind")
    ),
    (int,),
)


_AT_ONCE = 500  # letters of one statement
_HELD = (State.ACTIVE, State.HOLD)  # where a courier may be at work


def extend(courier: str, letter_ids: Collection[int]) -> None:
    """The courier is still at work on these: a new lease."""
    ids, lease = list(letter_ids), now_us() + conf.current().courier_lease_time * MICRO
    for start in range(0, len(ids), _AT_ONCE):
        held = Queued.objects.filter(id__in=ids[start : start + _AT_ONCE], state__in=_HELD, courier=courier)
        held.filter(lease_us__gt=0).update(lease_us=lease)


def still_held(courier: str, letter_ids: Collection[int]) -> set[int]:
    """Which of these letters the courier has still; inside a transaction nobody takes them from it before its end."""
    held = Queued.objects.select_for_update().filter(id__in=letter_ids, state__in=_HELD, courier=courier)
    return set(held.order_by("id").values_list("id", flat=True))


def give_back(courier: str, keep: Collection[int] = ()) -> None:
    """The courier stops, or stops with all but these letters: what it has is due again at once."""
    held = Queued.unsettled.filter(state__in=_HELD, courier=courier).values_list("id", flat=True)
    ids = list(set(held) - set(keep))
    for start in range(0, len(ids), _AT_ONCE):
        own = Queued.objects.filter(id__in=ids[start : start + _AT_ONCE], courier=courier)
        own.filter(state=State.ACTIVE).update(state=State.DEFERRED, courier="", lease_us=0, due_us=now_us())
        own.filter(state=State.HOLD).update(courier="", lease_us=0)
    if ids:
        news.ring_couriers()


def release_dead(own: Collection[str] | None = None) -> None:
    """What couriers of this place held when they were killed is due at once; what others hold, when leases run out.
    `own`: all couriers of this process that are at work, if the caller knows them."""
    for name in holders():
        is_left = own is not None and name not in own and name.startswith(f"{instance.name()}.")
        if is_left or instance.is_dead(name):
            give_back(name)


def holders() -> set[str]:
    """The couriers that have letters now, dead ones among them until their leases run out."""
    held = Queued.unsettled.filter(state__in=_HELD, lease_us__gt=0)
    return set(held.values_list("courier", flat=True).distinct())


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one delivery pass over a letter came to: an outcome for each duty."""

    claim: Claim
    outcomes: Sequence[tuple[Duty, Outcome]]
    last: bool = True  # False: other outcomes of this pass are still to come

    @property
    def done(self) -> bool:
        """Nobody waits any more. The claim knows the duties of the pass; earlier outcomes took theirs off."""
        return self.last and not self.claim.duties


def next_delay(age_us: int) -> int:
    """Microseconds until the next attempt: the letter's age, within the two backoff times."""
    parameters = conf.current()
    low, high = parameters.minimal_backoff_time * MICRO, parameters.maximal_backoff_time * MICRO
    return min(max(age_us, low), high)


def settle(courier: str, settlements: Sequence[Settlement]) -> None:
    """Record outcomes; call inside the transaction that makes local deliveries visible."""
    now = now_us()
    for settlement in settlements:
        served = {duty.id for duty, outcome in settlement.outcomes if outcome.kind != "deferred"}
        settlement.claim.troubled |= any(outcome.kind != "delivered" for _, outcome in settlement.outcomes)
        settlement.claim.duties[:] = [duty for duty in settlement.claim.duties if duty.id not in served]
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
    insert(
        Attempt,
        ("recipient_id", "at_us", "relay", "status", "dsn", "reason"),
        [
            (duty.id, now, outcome.relay[:255], outcome.kind, outcome.dsn, outcome.text)
            for settlement in settlements
            for duty, outcome in settlement.outcomes
            if outcome.kind != "delivered" or outcome.relay != "virtual"
        ],
    )
    left = [s.claim for s in settlements if s.last and not s.done]
    held = [claim for claim in left if all(duty.id in claim.held for duty in claim.duties)]
    table = Queued._meta.db_table
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET state = 'done', courier = '', lease_us = 0, settled_us = %s"
            " WHERE id = %s AND state IN ('active', 'hold')",
            [(now, s.claim.id) for s in settlements if s.done],
        )
        cursor.executemany(
            f"UPDATE {table} SET state = 'hold', courier = '', lease_us = 0"
            " WHERE id = %s AND state = 'active' AND courier = %s",
            [(claim.id, courier) for claim in held],
        )
        cursor.executemany(
            f"UPDATE {table} SET state = 'deferred', courier = '', lease_us = 0, due_us = %s"
            " WHERE id = %s AND state = 'active' AND courier = %s",
            [(now + next_delay(now - claim.received_us), claim.id, courier) for claim in left],
        )
        cursor.executemany(
            f"UPDATE {table} SET courier = '', lease_us = 0 WHERE id = %s AND state = 'hold' AND courier = %s",
            [(claim.id, courier) for claim in left],
        )


def expand(expansions: Iterable[tuple[Claim, Duty, Expanded]]) -> None:
    """Put the targets of aliases in the place of the recipients that named them; the claims then hold
    the new duties. Members of a list with an owner get a letter of their own. One transaction."""
    now = now_us()
    wanted = list(expansions)
    with transaction.atomic():
        Recipient.objects.filter(id__in=[duty.id for _, duty, _ in wanted], state=Recipient.State.WAITING).update(
            state=Recipient.State.EXPANDED, settled_us=now
        )
        Recipient.objects.bulk_create(
            (
                Recipient(
                    letter_id=held.id,
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
            # Two aliases of one letter may lead to the same place, and a pass cut short comes here again.
            ignore_conflicts=True,
        )
        for held, duty, way in wanted:
            for part in way.owned:
                _split(held.id, duty, part, way.kinds)
    claims = {held.id: held for held, _, _ in wanted}
    for held in claims.values():
        held.duties.clear()
    for letter_id, *fields in _waiting.rows(list(claims)):
        claims[letter_id].duties.append(Duty(*fields))


def _split(letter_id: int, duty: Duty, part: Owned, kinds: Mapping[str, str]) -> None:
    """A letter of the same content and age for the members of a list, from the list's owner. What the sender
    asked to be told (NOTIFY) ends at the list (RFC 3461 §5.2.7.3)."""
    new_id = files.copy(letter_id)
    row = Queued.objects.get(id=letter_id)
    row.id, row.state, row.due_us = new_id, State.INCOMING, now_us()
    row.courier, row.lease_us, row.sender = "", 0, part.sender
    row.save(force_insert=True)
    Recipient.objects.bulk_create(
        Recipient(letter_id=new_id, address=target, original=duty.original, final=True, kind=kinds.get(target, ""))
        for target in part.targets
    )
    news.ring_couriers()


def spoil(courier: str, letter_id: int) -> bool:
    """The content cannot be read: the letter is set aside, its file (if there is one) kept."""
    moved = Queued.objects.filter(id=letter_id, state=State.ACTIVE, courier=courier).update(
        state=State.CORRUPT, courier="", lease_us=0
    )
    return bool(moved)


def hold(letter_ids: Collection[int]) -> int:
    """incoming, active, deferred → hold. Returns how many moved."""
    return Queued.objects.filter(id__in=letter_ids, state__in=(State.INCOMING, State.ACTIVE, State.DEFERRED)).update(
        state=State.HOLD
    )


def release(letter_ids: Collection[int]) -> int:
    """hold → deferred, due at once, into mailboxes that are on hold too; the age stays. A letter that a courier is
    still at work on is its again: were it due for others, they would deliver it a second time."""
    held = Queued.objects.filter(id__in=letter_ids, state=State.HOLD)
    count = held.filter(lease_us__gt=now_us()).update(state=State.ACTIVE)
    count += held.update(state=State.DEFERRED, due_us=_FLUSHED, courier="", lease_us=0)
    news.ring_couriers()
    return count


def flush(letter_ids: Collection[int] | None = None) -> int:
    """Deferred letters are due at once: these, or all. Held ones stay. They are tried whatever defer_transports
    says and however their destinations behaved."""
    chosen = Queued.unsettled.filter(state=State.DEFERRED)
    if letter_ids is not None:
        chosen = chosen.filter(id__in=letter_ids)
    count = chosen.update(due_us=_FLUSHED)
    news.ring_couriers()
    return count


def remove(letter_ids: Collection[int]) -> int:
    """Any state but done → done; who still waited is removed without a bounce. Returns how many."""
    now = now_us()
    with transaction.atomic():
        moving = list(
            Queued.objects.select_for_update()
            .filter(id__in=letter_ids)
            .exclude(state=State.DONE)
            .values_list("id", flat=True)
        )
        Recipient.objects.filter(letter_id__in=moving, state=Recipient.State.WAITING).update(
            state=Recipient.State.REMOVED, settled_us=now
        )
        Queued.objects.filter(id__in=moving).update(state=State.DONE, courier="", lease_us=0, settled_us=now)
    _remove_files(moving)
    return len(moving)


def _remove_files(letter_ids: Collection[int]) -> None:
    """Once the database has it that these letters are done, an outer transaction included."""

    def remove_all() -> None:
        for letter_id in letter_ids:
            files.remove(letter_id)

    transaction.on_commit(remove_all)


def requeue(letter_id: int) -> int | None:
    """A new life under a new queue id: fresh time, addresses looked up again. None: not possible now
    (a courier is at work on it, it is done or corrupt, or its content is gone). Returns the new id."""
    now = now_us()
    try:
        new_id = files.copy(letter_id)
    except FileNotFoundError:
        return None
    with transaction.atomic():
        old = (
            Queued.objects.select_for_update()
            .filter(id=letter_id, state__in=(State.INCOMING, State.DEFERRED, State.HOLD), lease_us__lt=now)
            .first()
        )
        if old is None:
            files.remove(new_id)
            return None
        waiting = list(Recipient.objects.filter(letter=old, state=Recipient.State.WAITING))
        Queued.objects.filter(id=letter_id).update(state=State.DONE, settled_us=now, courier="", lease_us=0)
        Recipient.objects.filter(letter=old, state=Recipient.State.WAITING).update(
            state=Recipient.State.REMOVED, settled_us=now
        )
        old.id, old.state, old.received_us, old.due_us = new_id, State.INCOMING, now, now
        old.courier, old.lease_us = "", 0
        old.save(force_insert=True)
        Recipient.objects.bulk_create(
            Recipient(
                letter_id=new_id,
                address=r.original,
                original=r.original,
                notify=r.notify,
                orcpt=r.orcpt,
            )
            for r in {r.original: r for r in waiting}.values()
        )
        news.ring_couriers()
    _remove_files([letter_id])
    return new_id


def requeue_many(letter_ids: Iterable[int]) -> int:
    """`requeue` each; how many that was possible for."""
    return sum(requeue(letter_id) is not None for letter_id in letter_ids)


def forget_settled() -> int:
    """Drop the history of letters settled longer ago than queue_history_time; returns how many. A letter whose content
    file is still there stays: it may be all that is left of a message (`leftovers.recover`)."""
    before = now_us() - conf.current().queue_history_time * MICRO
    # Ids rise with time: what came later was settled later.
    settled = Queued.objects.filter(id__lt=files.id_at(before), settled_us__lt=before).order_by("id")
    present = set(files.present())
    old = [letter_id for letter_id in settled.values_list("id", flat=True)[:10_000] if letter_id not in present]
    Queued.objects.filter(id__in=old).delete()
    return len(old)


def seconds_until_due() -> float | None:
    """How long until the next letter is due; None when nothing waits."""
    waiting = Queued.unsettled.filter(state__in=(State.INCOMING, State.DEFERRED)).order_by("due_us")
    first = waiting.values_list("due_us", flat=True).first()
    return None if first is None else max(0.0, (first - now_us()) / MICRO)


def is_abandoned() -> bool:
    """Has some courier let a lease run out?"""
    return Queued.unsettled.filter(state=State.ACTIVE, lease_us__lt=now_us()).exists()
