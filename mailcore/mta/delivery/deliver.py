"""One delivery pass over claimed messages: route everybody, deliver what is local, say what is remote.

Called by the courier (`mailcore.mta.workers.courier`). A local delivery and the record that it happened are
one transaction; the file is durable before it. A pass that dies half way is simply done again: the
Maildir base name, made from queue id and recipient, keeps the second from doubling the first.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.db import transaction

from mailcore import conf
from mailcore.logs import writer
from mailcore.models import Queued, Recipient
from mailcore.mta.delivery import sieve_filter
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.notices import bounce, quota_warning
from mailcore.mta.queue import content_files, states
from mailcore.mta.queue.states import MICRO, Claim, DeliveryResult, PendingRecipient
from mailcore.mta.routing.route import relay_credentials, route_address
from mailcore.mta.transports import pipe
from mailcore.mta.transports.smtp import dkim_sign
from mailcore.mta.transports.smtp.job import DeliveryJob
from mailcore.mta.transports.smtp.tls_policy import policy_for
from mailcore.store.db.retry import run_in_transaction
from mailcore.store.mailbox import insert
from mailcore.store.maildir import maildir_files
from mailcore.values import (
    Arrival,
    Command,
    Directory,
    Expanded,
    Local,
    MboxFile,
    Outcome,
    Refused,
    Remote,
    Reply,
    deferred_outcome,
    delivered_outcome,
    failed_outcome,
)
from mailcore.wire.message import trace_headers

_RELAY = "virtual"  # Postfix's name for delivery to Maildirs, in log lines
DELIVERED = delivered_outcome("delivered to maildir", _RELAY)
_AT_ONCE = 500  # messages of one statement
MAILBOX_ON_HOLD = deferred_outcome("4.2.1", "mailbox is on hold", _RELAY)


@dataclass(slots=True)
class _Plan:
    claim: Claim
    local: list[tuple[PendingRecipient, Local]] = field(default_factory=list)
    elsewhere: dict[str | Command | MboxFile, list[PendingRecipient]] = field(default_factory=dict)
    outcomes: list[tuple[PendingRecipient, Outcome]] = field(default_factory=list)
    unreadable: bool = False  # nobody is served in this pass


def deliver(courier: str, claims: Sequence[Claim], leftovers: PendingCleanup) -> list[DeliveryJob]:
    """Serve every local recipient of `claims`; what is left for other hosts, commands and files is returned, its
    messages still active. Content files of messages that are done go to `leftovers`."""
    plans = [plan for claim in claims if (plan := _is_readable(courier, claim)) is not None]
    _route_recipients([plan for plan in plans if not plan.unreadable])
    _deliver_local(courier, plans, leftovers)
    return [job for plan in plans for job in _jobs(plan)]


def _jobs(plan: _Plan) -> Iterator[DeliveryJob]:
    """One for each next hop and default_destination_recipient_limit recipients of it."""
    most = conf.current().default_destination_recipient_limit
    for way, duties in plan.elsewhere.items():
        if not isinstance(way, str):
            yield from (DeliveryJob(plan.claim, way, (duty,)) for duty in duties)
            continue
        policy, login, signing = (
            policy_for(way),
            relay_credentials(way, plan.claim.sender),
            dkim_sign.plan_signing(plan.claim),
        )
        for start in range(0, len(duties), most or len(duties)):
            chosen = tuple(duties[start : start + (most or len(duties))])
            yield DeliveryJob(plan.claim, way, chosen, policy, login, signing)


def _is_readable(courier: str, claim: Claim) -> _Plan | None:
    """A message whose file is missing or damaged is corrupt: it is set aside where the administrator sees it. One that
    cannot be read now waits."""
    plan = _Plan(claim)
    try:
        damage = claim.damage()
    except OSError as error:
        writer.write("qmgr", f"{claim.queue_id}: warning: content file cannot be read: {error.strerror}")
        plan.outcomes += [(duty, deferred_outcome("4.3.0", "queue file read error")) for duty in claim.pending]
        plan.unreadable = True
        return plan
    if not damage:
        return plan
    if states.mark_corrupt(courier, claim.id):
        writer.write("qmgr", f"{claim.queue_id}: warning: {damage}, moved to corrupt")
    return None


def _route_recipients(plans: Sequence[_Plan]) -> None:
    expansions = []
    for plan in plans:
        for duty in plan.claim.pending:
            way = route_address(duty.address, final=duty.final, sender=plan.claim.sender, kind=duty.kind)
            if isinstance(way, Expanded):
                expansions.append((plan.claim, duty, way))
    if expansions:
        states.replace_with_targets(expansions)
    for plan in plans:
        for duty in plan.claim.pending:
            match route_address(duty.address, final=duty.final, sender=plan.claim.sender, kind=duty.kind):
                case Local(held=True) if not plan.claim.is_flushed:
                    plan.claim.held_recipients.add(duty.id)
                    plan.outcomes.append((duty, MAILBOX_ON_HOLD))
                case Local() as way:
                    plan.local.append((duty, way))
                case Remote(next_hop=next_hop):
                    if "smtp" in conf.current().defer_transports and not plan.claim.is_flushed:
                        plan.outcomes.append((duty, deferred_outcome("4.3.2", "deferred transport")))
                    else:
                        plan.elsewhere.setdefault(next_hop, []).append(duty)
                case Command() | MboxFile() as way:
                    plan.elsewhere.setdefault(way, []).append(duty)
                case Directory(path=path):
                    plan.outcomes.append(
                        (duty, pipe.deliver_to_maildir(path, build_arrival(plan.claim, duty, _NOBODY)))
                    )
                case Refused(reply=reply):
                    plan.outcomes.append((duty, outcome_of_reply(reply)))
                case Expanded():
                    # The directory changed between the two looks; the next pass sees it settled.
                    plan.outcomes.append((duty, deferred_outcome("4.3.0", "alias changed during delivery")))


def outcome_of_reply(reply: Reply, relay: str = "none") -> Outcome:
    """The outcome a reply stands for: 4xx waits, anything else fails."""
    if 400 <= reply.code < 500:
        return deferred_outcome(reply.enhanced, reply.text, relay)
    return failed_outcome(reply.enhanced, reply.text, relay)


@dataclass(frozen=True, slots=True)
class _LocalDelivery:
    """One recipient served here: the copies for mailboxes, and what the owner's filters decided, if there are any."""

    plan: _Plan
    duty: PendingRecipient
    arrivals: tuple[Arrival, ...]
    filtered: sieve_filter.FilterResult | None = None


def _deliver_local(courier: str, plans: Sequence[_Plan], leftovers: PendingCleanup) -> None:
    wanted = _local_deliveries(plans)
    staged = insert.stage_files([arrival for each in wanted for arrival in each.arrivals])
    maildir_files.sync_directories(_filtered_into(wanted, staged))

    def enter_and_settle() -> list[DeliveryResult]:
        _check_leases(courier, plans)
        outcomes = {plan.claim.id: list(plan.outcomes) for plan in plans}
        entered = iter(zip(staged, insert.insert_messages(staged, warn=quota_warning.send_warnings), strict=True))
        for each in wanted:
            copies = list(islice(entered, len(each.arrivals)))
            outcomes[each.plan.claim.id].append((each.duty, _delivery_outcome(each, copies)))
        settled = [DeliveryResult(plan.claim, outcomes[plan.claim.id], last=not plan.elsewhere) for plan in plans]
        record_results(courier, settled)
        return settled

    settlements = run_in_transaction(enter_and_settle)
    leftovers.add(settlements, (s.path for s in staged if isinstance(s, insert.StagedMessage)))


class LeaseLost(Exception):
    """The pass took so long that another courier has begun with one of its messages."""


def _check_leases(courier: str, plans: Sequence[_Plan]) -> None:
    """A pass that took longer than half a lease asks whether its messages are its own still: what filters send would go
    out a second time. Raises LeaseLost: nothing has been done, and what is ours is claimed anew."""
    slowest = min((plan.claim.claimed_us for plan in plans), default=0)
    if not plans or states.now_us() - slowest < conf.current().courier_lease_time * MICRO // 2:
        return
    ids = {plan.claim.id for plan in plans}
    if lost := ids - states.still_held(courier, ids):
        raise LeaseLost(" ".join(f"{each:X}" for each in sorted(lost)))


def _filtered_into(wanted: Sequence[_LocalDelivery], staged: Sequence[insert.StagedMessage | Reply]) -> set[str]:
    """Directories whose new names must be durable before the commit: recovery after a power failure puts back what was
    delivered without filters, as it would be done again."""
    found: set[str] = set()
    copies = iter(staged)
    for each in wanted:
        placed = [copy.path for copy in islice(copies, len(each.arrivals)) if isinstance(copy, insert.StagedMessage)]
        if each.filtered is not None and not each.filtered.is_plain:
            found.update(os.path.dirname(path) for path in placed)
    return found


def _local_deliveries(plans: Sequence[_Plan]) -> list[_LocalDelivery]:
    scripts = sieve_filter.active_scripts(way for plan in plans for _, way in plan.local)
    found: list[_LocalDelivery] = []
    for plan in plans:
        seen = _delivered_to(plan)
        for duty, way in plan.local:
            if way.address in seen:
                plan.outcomes.append((duty, failed_outcome("5.4.6", f"mail forwarding loop for {way.address}")))
                continue
            usual = build_arrival(plan.claim, duty, way)
            script = scripts.get(way.account_id)
            if script is None:
                found.append(_LocalDelivery(plan, duty, (usual,)))
            else:
                filtered = sieve_filter.apply_script(script, plan.claim, duty, usual)
                found.append(_LocalDelivery(plan, duty, filtered.arrivals, filtered))
    return found


def _delivery_outcome(
    wanted: _LocalDelivery, copies: Sequence[tuple[insert.StagedMessage | Reply, insert.StoredMessage | Reply]]
) -> Outcome:
    """How a recipient's delivery ended. A copy that was refused speaks for all: nothing else is done then."""
    for _, result in copies:
        if isinstance(result, Reply):
            return outcome_of_reply(result, _RELAY)
    if wanted.filtered is None:
        return DELIVERED
    return sieve_filter.record_filter_results(
        wanted.filtered, [copy for copy, _ in copies if isinstance(copy, insert.StagedMessage)]
    )


def _delivered_to(plan: _Plan) -> set[str]:
    """Where this message has been already, by its Delivered-To headers; a message whose trace headers were
    written at DATA was looked at there."""
    if not plan.local or plan.claim.trace_size:
        return set()
    return trace_headers.find_delivered_to(
        trace_headers.split_off_header(content_files.read_header(plan.claim.id, 0, conf.current().header_size_limit))
    )


_NOBODY = Local(0, "")  # a directory belongs to no account


def build_arrival(claim: Claim, duty: PendingRecipient, way: Local) -> Arrival:
    """The message as `store.delivery` takes it: always the same for the same message and recipient."""
    headers = trace_headers.format_delivery_headers(claim.sender, duty.original, way.address or duty.original)
    return Arrival(
        account_id=way.account_id,
        base_name=f"{claim.received_us // MICRO}.Q{claim.queue_id}R{duty.id:X}.{maildir_host()}",
        file=Path(content_files.content_path(claim.id)),
        skip=claim.trace_size,
        trace=headers,
        # The file begins with trace headers written for its one recipient at DATA. They are what we
        # would write now as long as their length says so: sender and original are the message's own.
        link=len(headers) == claim.trace_size and not duty.final,
        internal_at=claim.received_us // MICRO,
    )


def maildir_host() -> str:
    """The host part of Maildir names, without what Maildir or a shell would trip over."""
    return conf.current().myhostname.replace("/", "\\057").replace(":", "\\072")


def record_results(courier: str, settlements: Sequence[DeliveryResult]) -> None:
    """Record the outcomes, make the bounces they call for, and write Postfix's log lines. Call inside a
    transaction."""
    final = [_expire_deferred(settlement) for settlement in settlements]
    states.record_results(courier, final)
    bounce.send_notices(final)
    now = states.now_us()
    lines: list[str] = []
    for settlement in final:
        claim = settlement.claim
        for duty, outcome in settlement.outcomes:
            times = (claim.received_us, claim.claimed_us, now)
            lines.append(log_line(claim.queue_id, duty.address, duty.original, outcome, times))
        if settlement.is_complete:
            lines.append(f"{claim.queue_id}: removed")
    transaction.on_commit(lambda: writer.write("qmgr", *lines))


def _expire_deferred(settlement: DeliveryResult) -> DeliveryResult:
    """Deferred outcomes of a message past its lifetime are failures (checked only after a failed try); what waits
    because somebody said so waits on."""
    claim, parameters = settlement.claim, conf.current()
    lifetime = parameters.maximal_queue_lifetime if claim.sender else parameters.bounce_queue_lifetime
    if states.now_us() - claim.received_us < lifetime * MICRO:
        return settlement
    outcomes = [
        (
            duty,
            Outcome("failed", "5" + o.dsn[1:], o.text, o.relay) if o.kind == "deferred" and o != MAILBOX_ON_HOLD else o,
        )
        for duty, o in settlement.outcomes
    ]
    if outcomes != list(settlement.outcomes):
        writer.write("qmgr", f"{claim.queue_id}: from=<{claim.sender}>, status=expired, returned to sender")
    return DeliveryResult(claim, outcomes, settlement.last)


def release_held_mailboxes() -> int:
    """Messages that wait for mailboxes on hold are due when one of these is no longer; returns how many."""
    held = Queued.unsettled.filter(state=Queued.State.HOLD)
    waiting = Recipient.objects.filter(
        queued__in=held, state=Recipient.State.WAITING, dsn=MAILBOX_ON_HOLD.dsn, reason=MAILBOX_ON_HOLD.text
    )
    free = {
        queued_id
        for queued_id, address, final in waiting.values_list("queued_id", "address", "final").iterator(chunk_size=1000)
        if not isinstance(way := route_address(address, final=final), Local) or not way.held
    }
    ids = sorted(free)
    return sum(states.release(ids[at : at + _AT_ONCE]) for at in range(0, len(ids), _AT_ONCE))


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
