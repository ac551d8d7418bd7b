"""One delivery pass over claimed letters: route everybody, deliver what is local, say what is remote.

Called by the courier (`mailcore.post.courier`). A local delivery and the record that it happened are
one transaction; the file is durable before it. A pass that dies half way is simply done again: the
Maildir base name, made from queue id and recipient, keeps the second from doubling the first.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.db import transaction

from mailcore import conf, log
from mailcore.models import Queued, Recipient
from mailcore.post import bounce, files, filters, outside, queue, quota_warning, sign
from mailcore.post.leftovers import Leftovers
from mailcore.post.queue import MICRO, Claim, Duty, Settlement
from mailcore.post.route import credentials, route
from mailcore.post.smtp.job import Job
from mailcore.post.smtp.policy import policy_for
from mailcore.store import delivery, maildir
from mailcore.store.retry import in_transaction
from mailcore.terms import (
    Arrival,
    Command,
    Directory,
    Expanded,
    Local,
    MailFile,
    Outcome,
    Refused,
    Remote,
    Reply,
    deferred,
    delivered,
    failed,
)
from mailcore.wire import trace

_RELAY = "virtual"  # Postfix's name for delivery to Maildirs, in log lines
DELIVERED = delivered("delivered to maildir", _RELAY)
_AT_ONCE = 500  # letters of one statement
HELD = deferred("4.2.1", "mailbox is on hold", _RELAY)


@dataclass(slots=True)
class _Plan:
    claim: Claim
    local: list[tuple[Duty, Local]] = field(default_factory=list)
    elsewhere: dict[str | Command | MailFile, list[Duty]] = field(default_factory=dict)
    outcomes: list[tuple[Duty, Outcome]] = field(default_factory=list)
    unreadable: bool = False  # nobody is served in this pass


def deliver(courier: str, claims: Sequence[Claim], leftovers: Leftovers) -> list[Job]:
    """Serve every local recipient of `claims`; what is left for other hosts, commands and files is returned, its
    letters still active. Content files of letters that are done go to `leftovers`."""
    plans = [plan for claim in claims if (plan := _readable(courier, claim)) is not None]
    _route([plan for plan in plans if not plan.unreadable])
    _deliver_local(courier, plans, leftovers)
    return [job for plan in plans for job in _jobs(plan)]


def _jobs(plan: _Plan) -> Iterator[Job]:
    """One for each next hop and default_destination_recipient_limit recipients of it."""
    most = conf.current().default_destination_recipient_limit
    for way, duties in plan.elsewhere.items():
        if not isinstance(way, str):
            yield from (Job(plan.claim, way, (duty,)) for duty in duties)
            continue
        policy, login, signing = policy_for(way), credentials(way, plan.claim.sender), sign.plan(plan.claim)
        for start in range(0, len(duties), most or len(duties)):
            chosen = tuple(duties[start : start + (most or len(duties))])
            yield Job(plan.claim, way, chosen, policy, login, signing)


def _readable(courier: str, claim: Claim) -> _Plan | None:
    """A letter whose file is missing or damaged is corrupt: it is set aside where the administrator sees it. One that
    cannot be read now waits."""
    plan = _Plan(claim)
    try:
        damage = claim.damage()
    except OSError as error:
        log.write("qmgr", f"{claim.queue_id}: warning: content file cannot be read: {error.strerror}")
        plan.outcomes += [(duty, deferred("4.3.0", "queue file read error")) for duty in claim.duties]
        plan.unreadable = True
        return plan
    if not damage:
        return plan
    if queue.spoil(courier, claim.id):
        log.write("qmgr", f"{claim.queue_id}: warning: {damage}, moved to corrupt")
    return None


def _route(plans: Sequence[_Plan]) -> None:
    expansions = []
    for plan in plans:
        for duty in plan.claim.duties:
            way = route(duty.address, final=duty.final, sender=plan.claim.sender, kind=duty.kind)
            if isinstance(way, Expanded):
                expansions.append((plan.claim, duty, way))
    if expansions:
        queue.expand(expansions)
    for plan in plans:
        for duty in plan.claim.duties:
            match route(duty.address, final=duty.final, sender=plan.claim.sender, kind=duty.kind):
                case Local(held=True) if not plan.claim.flushed:
                    plan.claim.held.add(duty.id)
                    plan.outcomes.append((duty, HELD))
                case Local() as way:
                    plan.local.append((duty, way))
                case Remote(next_hop=next_hop):
                    if "smtp" in conf.current().defer_transports and not plan.claim.flushed:
                        plan.outcomes.append((duty, deferred("4.3.2", "deferred transport")))
                    else:
                        plan.elsewhere.setdefault(next_hop, []).append(duty)
                case Command() | MailFile() as way:
                    plan.elsewhere.setdefault(way, []).append(duty)
                case Directory(path=path):
                    plan.outcomes.append((duty, outside.file_into(path, arrival(plan.claim, duty, _NOBODY))))
                case Refused(reply=reply):
                    plan.outcomes.append((duty, refusal(reply)))
                case Expanded():
                    # The directory changed between the two looks; the next pass sees it settled.
                    plan.outcomes.append((duty, deferred("4.3.0", "alias changed during delivery")))


def refusal(reply: Reply, relay: str = "none") -> Outcome:
    """The outcome a reply stands for: 4xx waits, anything else fails."""
    if 400 <= reply.code < 500:
        return deferred(reply.enhanced, reply.text, relay)
    return failed(reply.enhanced, reply.text, relay)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One recipient served here: the copies for mailboxes, and what the owner's filters decided, if there are any."""

    plan: _Plan
    duty: Duty
    arrivals: tuple[Arrival, ...]
    filtered: filters.Filtered | None = None


def _deliver_local(courier: str, plans: Sequence[_Plan], leftovers: Leftovers) -> None:
    wanted = _wanted(plans)
    staged = delivery.stage([arrival for each in wanted for arrival in each.arrivals])
    maildir.sync_directories(_filtered_into(wanted, staged))

    def enter_and_settle() -> list[Settlement]:
        _check_leases(courier, plans)
        outcomes = {plan.claim.id: list(plan.outcomes) for plan in plans}
        entered = iter(zip(staged, delivery.enter(staged, warn=quota_warning.warn), strict=True))
        for each in wanted:
            copies = list(islice(entered, len(each.arrivals)))
            outcomes[each.plan.claim.id].append((each.duty, _outcome(each, copies)))
        settled = [Settlement(plan.claim, outcomes[plan.claim.id], last=not plan.elsewhere) for plan in plans]
        settle(courier, settled)
        return settled

    settlements = in_transaction(enter_and_settle)
    leftovers.add(settlements, (s.path for s in staged if isinstance(s, delivery.Staged)))


class LeaseLost(Exception):
    """The pass took so long that another courier has begun with one of its letters."""


def _check_leases(courier: str, plans: Sequence[_Plan]) -> None:
    """A pass that took longer than half a lease asks whether its letters are its own still: what filters send would go
    out a second time. Raises LeaseLost: nothing has been done, and what is ours is claimed anew."""
    slowest = min((plan.claim.claimed_us for plan in plans), default=0)
    if not plans or queue.now_us() - slowest < conf.current().courier_lease_time * MICRO // 2:
        return
    ids = {plan.claim.id for plan in plans}
    if lost := ids - queue.still_held(courier, ids):
        raise LeaseLost(" ".join(f"{each:X}" for each in sorted(lost)))


def _filtered_into(wanted: Sequence[_Wanted], staged: Sequence[delivery.Staged | Reply]) -> set[str]:
    """Directories whose new names must be durable before the commit: recovery after a power failure puts back what was
    delivered without filters, as it would be done again."""
    found: set[str] = set()
    copies = iter(staged)
    for each in wanted:
        placed = [copy.path for copy in islice(copies, len(each.arrivals)) if isinstance(copy, delivery.Staged)]
        if each.filtered is not None and not each.filtered.is_plain:
            found.update(os.path.dirname(path) for path in placed)
    return found


def _wanted(plans: Sequence[_Plan]) -> list[_Wanted]:
    scripts = filters.active(way for plan in plans for _, way in plan.local)
    found: list[_Wanted] = []
    for plan in plans:
        seen = _delivered_to(plan)
        for duty, way in plan.local:
            if way.address in seen:
                plan.outcomes.append((duty, failed("5.4.6", f"mail forwarding loop for {way.address}")))
                continue
            usual = arrival(plan.claim, duty, way)
            script = scripts.get(way.account_id)
            if script is None:
                found.append(_Wanted(plan, duty, (usual,)))
            else:
                filtered = filters.look(script, plan.claim, duty, usual)
                found.append(_Wanted(plan, duty, filtered.arrivals, filtered))
    return found


def _outcome(wanted: _Wanted, copies: Sequence[tuple[delivery.Staged | Reply, delivery.Stored | Reply]]) -> Outcome:
    """How a recipient's delivery ended. A copy that was refused speaks for all: nothing else is done then."""
    for _, result in copies:
        if isinstance(result, Reply):
            return refusal(result, _RELAY)
    if wanted.filtered is None:
        return DELIVERED
    return filters.settle(wanted.filtered, [copy for copy, _ in copies if isinstance(copy, delivery.Staged)])


def _delivered_to(plan: _Plan) -> set[str]:
    """Where this letter has been already, by its Delivered-To headers; a letter whose trace headers were
    written at DATA was looked at there."""
    if not plan.local or plan.claim.trace_size:
        return set()
    return trace.delivered_to(trace.header_of(files.header(plan.claim.id, 0, conf.current().header_size_limit)))


_NOBODY = Local(0, "")  # a directory belongs to no account


def arrival(claim: Claim, duty: Duty, way: Local) -> Arrival:
    """The letter as `store.delivery` takes it: always the same for the same letter and recipient."""
    headers = trace.local(claim.sender, duty.original, way.address or duty.original)
    return Arrival(
        account_id=way.account_id,
        base_name=f"{claim.received_us // MICRO}.Q{claim.queue_id}R{duty.id:X}.{host()}",
        file=Path(files.path(claim.id)),
        skip=claim.trace_size,
        trace=headers,
        # The file begins with trace headers written for its one recipient at DATA. They are what we
        # would write now as long as their length says so: sender and original are the letter's own.
        link=len(headers) == claim.trace_size and not duty.final,
        internal_at=claim.received_us // MICRO,
    )


def host() -> str:
    """The host part of Maildir names, without what Maildir or a shell would trip over."""
    return conf.current().myhostname.replace("/", "\\057").replace(":", "\\072")


def settle(courier: str, settlements: Sequence[Settlement]) -> None:
    """Record the outcomes, make the bounces they call for, and write Postfix's log lines. Call inside a
    transaction."""
    final = [_expire(settlement) for settlement in settlements]
    queue.settle(courier, final)
    bounce.bounce(final)
    now = queue.now_us()
    lines: list[str] = []
    for settlement in final:
        claim = settlement.claim
        for duty, outcome in settlement.outcomes:
            times = (claim.received_us, claim.claimed_us, now)
            lines.append(log_line(claim.queue_id, duty.address, duty.original, outcome, times))
        if settlement.done:
            lines.append(f"{claim.queue_id}: removed")
    transaction.on_commit(lambda: log.write("qmgr", *lines))


def _expire(settlement: Settlement) -> Settlement:
    """Deferred outcomes of a letter past its lifetime are failures (checked only after a failed try); what waits
    because somebody said so waits on."""
    claim, parameters = settlement.claim, conf.current()
    lifetime = parameters.maximal_queue_lifetime if claim.sender else parameters.bounce_queue_lifetime
    if queue.now_us() - claim.received_us < lifetime * MICRO:
        return settlement
    outcomes = [
        (duty, Outcome("failed", "5" + o.dsn[1:], o.text, o.relay) if o.kind == "deferred" and o != HELD else o)
        for duty, o in settlement.outcomes
    ]
    if outcomes != list(settlement.outcomes):
        log.write("qmgr", f"{claim.queue_id}: from=<{claim.sender}>, status=expired, returned to sender")
    return Settlement(claim, outcomes, settlement.last)


def release() -> int:
    """Letters that wait for mailboxes on hold are due when one of these is no longer; returns how many."""
    held = Queued.unsettled.filter(state=Queued.State.HOLD)
    waiting = Recipient.objects.filter(letter__in=held, state=Recipient.State.WAITING, dsn=HELD.dsn, reason=HELD.text)
    free = {
        letter_id
        for letter_id, address, final in waiting.values_list("letter_id", "address", "final").iterator(chunk_size=1000)
        if not isinstance(way := route(address, final=final), Local) or not way.held
    }
    ids = sorted(free)
    return sum(queue.release(ids[at : at + _AT_ONCE]) for at in range(0, len(ids), _AT_ONCE))


_STATUS = {"delivered": "sent", "deferred": "deferred", "failed": "bounced"}


def log_line(queue_id: str, address: str, original: str, outcome: Outcome, times: tuple[int, int, int]) -> str:
    """ID: to=<a>, orig_to=<b>, relay=r, delay=s, delays=a/b/c/d, dsn=x.y.z, status=sent (text). `times`: received,
    claimed, now, in microseconds."""
    given = f" orig_to=<{original}>," if original != address else ""
    received, claimed, now = times
    total, waited = (now - received) / MICRO, (claimed - received) / MICRO
    return (
        f"{queue_id}: to=<{address}>,{given} relay={outcome.relay}, delay={total:.2g},"
        f" delays={waited:.2g}/0/0/{total - waited:.2g}, dsn={outcome.dsn},"
        f" status={_STATUS[outcome.kind]} ({outcome.text})"
    )
