"""One delivery pass over claimed messages: route all recipients, deliver the local ones, return jobs for the others.

Called by the courier (`mailcore.mta.workers.courier`). A local delivery and its record are one transaction; the file is
durable before it. A pass that is cut short is repeated: the Maildir base name, made from queue id and recipient,
prevents a duplicate.
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
from mailcore.mta.queue.claim import Claim, DeliveryResult, PendingRecipient
from mailcore.mta.queue.states import MICRO
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

_RELAY = "virtual"  # Postfix's name for delivery to Maildirs, in log lines.
DELIVERED = delivered_outcome("delivered to maildir", _RELAY)
_BATCH = 500  # Messages per statement.
MAILBOX_ON_HOLD = deferred_outcome("4.2.1", "mailbox is on hold", _RELAY)


@dataclass(slots=True)
class _Plan:
    claim: Claim
    local: list[tuple[PendingRecipient, Local]] = field(default_factory=list)
    elsewhere: dict[str | Command | MboxFile, list[PendingRecipient]] = field(default_factory=dict)
    outcomes: list[tuple[PendingRecipient, Outcome]] = field(default_factory=list)
    unreadable: bool = False  # The content cannot be read now: no recipient is served in this pass.


def deliver(courier: str, claims: Sequence[Claim], cleanup: PendingCleanup) -> list[DeliveryJob]:
    """Serve every local recipient of `claims`, and return jobs for other hosts, commands and files.

    Messages with jobs stay active. The content files of completed messages go to `cleanup`.
    """
    plans = [plan for claim in claims if (plan := _plan_if_readable(courier, claim)) is not None]
    _route_recipients([plan for plan in plans if not plan.unreadable])
    _deliver_local(courier, plans, cleanup)
    return [job for plan in plans for job in _delivery_jobs(plan)]


def _delivery_jobs(plan: _Plan) -> Iterator[DeliveryJob]:
    """Yield one job for each command and file, and for each batch of recipients of a next hop.

    default_destination_recipient_limit is the size of a batch.
    """
    limit = conf.current().default_destination_recipient_limit
    for route, recipients in plan.elsewhere.items():
        if not isinstance(route, str):
            yield from (DeliveryJob(plan.claim, route, (recipient,)) for recipient in recipients)
            continue
        policy, login, signing = (
            policy_for(route),
            relay_credentials(route, plan.claim.sender),
            dkim_sign.plan_signing(plan.claim),
        )
        for start in range(0, len(recipients), limit or len(recipients)):
            batch = tuple(recipients[start : start + (limit or len(recipients))])
            yield DeliveryJob(plan.claim, route, batch, policy, login, signing)


def _plan_if_readable(courier: str, claim: Claim) -> _Plan | None:
    """Return a plan for a message, or None if its content file is missing or damaged.

    Such a message is moved to the corrupt queue, where the administrator sees it. A message that cannot be read now is
    deferred.
    """
    plan = _Plan(claim)
    try:
        damage = claim.damage()
    except OSError as error:
        writer.write("qmgr", f"{claim.queue_id}: warning: content file cannot be read: {error.strerror}")
        plan.outcomes += [
            (recipient, deferred_outcome("4.3.0", "queue file read error")) for recipient in claim.pending
        ]
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
        for recipient in plan.claim.pending:
            route = route_address(
                recipient.address, final=recipient.final, sender=plan.claim.sender, kind=recipient.kind
            )
            if isinstance(route, Expanded):
                expansions.append((plan.claim, recipient, route))
    if expansions:
        states.replace_with_targets(expansions)
    for plan in plans:
        for recipient in plan.claim.pending:
            match route_address(
                recipient.address, final=recipient.final, sender=plan.claim.sender, kind=recipient.kind
            ):
                case Local(held=True) if not plan.claim.is_flushed:
                    plan.claim.held_recipients.add(recipient.id)
                    plan.outcomes.append((recipient, MAILBOX_ON_HOLD))
                case Local() as route:
                    plan.local.append((recipient, route))
                case Remote(next_hop=next_hop):
                    if "smtp" in conf.current().defer_transports and not plan.claim.is_flushed:
                        plan.outcomes.append((recipient, deferred_outcome("4.3.2", "deferred transport")))
                    else:
                        plan.elsewhere.setdefault(next_hop, []).append(recipient)
                case Command() | MboxFile() as route:
                    plan.elsewhere.setdefault(route, []).append(recipient)
                case Directory(path=path):
                    plan.outcomes.append(
                        (recipient, pipe.deliver_to_maildir(path, build_arrival(plan.claim, recipient, _NO_ACCOUNT)))
                    )
                case Refused(reply=reply):
                    plan.outcomes.append((recipient, outcome_of_reply(reply)))
                case Expanded():
                    # The directory changed between the two lookups; the next pass sees the new state.
                    plan.outcomes.append((recipient, deferred_outcome("4.3.0", "alias changed during delivery")))


def outcome_of_reply(reply: Reply, relay: str = "none") -> Outcome:
    """Return the outcome of a reply: deferred for 4xx, else failed."""
    if 400 <= reply.code < 500:
        return deferred_outcome(reply.enhanced, reply.text, relay)
    return failed_outcome(reply.enhanced, reply.text, relay)


@dataclass(frozen=True, slots=True)
class _LocalDelivery:
    """One local recipient: its copies for mailboxes, and the result of the owner's filters, if there are any."""

    plan: _Plan
    recipient: PendingRecipient
    arrivals: tuple[Arrival, ...]
    filtered: sieve_filter.FilterResult | None = None


def _deliver_local(courier: str, plans: Sequence[_Plan], cleanup: PendingCleanup) -> None:
    deliveries = _local_deliveries(plans)
    staged = insert.stage_files([arrival for each in deliveries for arrival in each.arrivals])
    maildir_files.sync_directories(_directories_of_filtered(deliveries, staged))

    def insert_and_record() -> list[DeliveryResult]:
        _check_leases(courier, plans)
        outcomes = {plan.claim.id: list(plan.outcomes) for plan in plans}
        inserted = iter(zip(staged, insert.insert_messages(staged, warn=quota_warning.send_warnings), strict=True))
        for each in deliveries:
            copies = list(islice(inserted, len(each.arrivals)))
            outcomes[each.plan.claim.id].append((each.recipient, _delivery_outcome(each, copies)))
        results = [DeliveryResult(plan.claim, outcomes[plan.claim.id], is_last=not plan.elsewhere) for plan in plans]
        record_results(courier, results)
        return results

    results = run_in_transaction(insert_and_record)
    cleanup.add(results, (s.path for s in staged if isinstance(s, insert.StagedMessage)))


class LeaseLost(Exception):
    """The pass took so long that another courier has claimed one of its messages."""


def _check_leases(courier: str, plans: Sequence[_Plan]) -> None:
    """Check that the courier still has its claims, if the pass took longer than half a lease.

    Messages that filters send would be sent twice otherwise. Raise LeaseLost before anything was done; the messages
    that are still ours are claimed again.
    """
    slowest = min((plan.claim.claimed_us for plan in plans), default=0)
    if not plans or states.now_us() - slowest < conf.current().courier_lease_time * MICRO // 2:
        return
    ids = {plan.claim.id for plan in plans}
    if lost := ids - states.still_held(courier, ids):
        raise LeaseLost(" ".join(f"{queued_id:X}" for queued_id in sorted(lost)))


def _directories_of_filtered(
    deliveries: Sequence[_LocalDelivery], staged: Sequence[insert.StagedMessage | Reply]
) -> set[str]:
    """Return the directories whose new names must be durable before the commit.

    Recovery after a power failure restores messages as they would be delivered without filters.
    """
    directories: set[str] = set()
    copies = iter(staged)
    for each in deliveries:
        placed = [copy.path for copy in islice(copies, len(each.arrivals)) if isinstance(copy, insert.StagedMessage)]
        if each.filtered is not None and not each.filtered.is_plain:
            directories.update(os.path.dirname(path) for path in placed)
    return directories


def _local_deliveries(plans: Sequence[_Plan]) -> list[_LocalDelivery]:
    scripts = sieve_filter.active_scripts(route for plan in plans for _, route in plan.local)
    deliveries: list[_LocalDelivery] = []
    for plan in plans:
        delivered_to = _delivered_to(plan)
        for recipient, route in plan.local:
            if route.address in delivered_to:
                plan.outcomes.append((recipient, failed_outcome("5.4.6", f"mail forwarding loop for {route.address}")))
                continue
            arrival = build_arrival(plan.claim, recipient, route)
            script = scripts.get(route.account_id)
            if script is None:
                deliveries.append(_LocalDelivery(plan, recipient, (arrival,)))
            else:
                filtered = sieve_filter.apply_script(script, plan.claim, recipient, arrival)
                deliveries.append(_LocalDelivery(plan, recipient, filtered.arrivals, filtered))
    return deliveries


def _delivery_outcome(
    delivery: _LocalDelivery, copies: Sequence[tuple[insert.StagedMessage | Reply, insert.StoredMessage | Reply]]
) -> Outcome:
    """Return the outcome of one recipient's delivery. One refused copy makes the whole delivery fail."""
    for _, result in copies:
        if isinstance(result, Reply):
            return outcome_of_reply(result, _RELAY)
    if delivery.filtered is None:
        return DELIVERED
    return sieve_filter.record_filter_results(
        delivery.filtered, [copy for copy, _ in copies if isinstance(copy, insert.StagedMessage)]
    )


def _delivered_to(plan: _Plan) -> set[str]:
    """Return the addresses this message was delivered to before, by its Delivered-To headers.

    A message whose trace headers were written at DATA was checked there.
    """
    if not plan.local or plan.claim.trace_size:
        return set()
    return trace_headers.find_delivered_to(
        trace_headers.split_off_header(content_files.read_header(plan.claim.id, 0, conf.current().header_size_limit))
    )


_NO_ACCOUNT = Local(0, "")  # A directory named by an alias belongs to no account.


def build_arrival(claim: Claim, recipient: PendingRecipient, route: Local) -> Arrival:
    """Return the message as the mailbox store accepts it: equal for equal message and recipient."""
    headers = trace_headers.format_delivery_headers(
        claim.sender, recipient.original, route.address or recipient.original
    )
    return Arrival(
        account_id=route.account_id,
        base_name=f"{claim.received_us // MICRO}.Q{claim.queue_id}R{recipient.id:X}.{maildir_host()}",
        file=Path(content_files.content_path(claim.id)),
        skip=claim.trace_size,
        trace=headers,
        # The file begins with the trace headers written for its one recipient at DATA. If the length is equal they are
        # what would be written now: sender and original recipient are the message's own.
        link=len(headers) == claim.trace_size and not recipient.final,
        internal_at=claim.received_us // MICRO,
    )


def maildir_host() -> str:
    """Return the host part of Maildir names, with the characters that Maildir or a shell treats specially escaped."""
    return conf.current().myhostname.replace("/", "\\057").replace(":", "\\072")


def record_results(courier: str, results: Sequence[DeliveryResult]) -> None:
    """Record outcomes, queue the bounces they need and write Postfix's log lines, inside the caller's transaction."""
    final = [_expire_deferred(result) for result in results]
    states.record_results(courier, final)
    bounce.send_notices(final)
    now = states.now_us()
    lines: list[str] = []
    for result in final:
        claim = result.claim
        for recipient, outcome in result.outcomes:
            times = (claim.received_us, claim.claimed_us, now)
            lines.append(log_line(claim.queue_id, recipient.address, recipient.original, outcome, times))
        if result.is_complete:
            lines.append(f"{claim.queue_id}: removed")
    transaction.on_commit(lambda: writer.write("qmgr", *lines))


def _expire_deferred(result: DeliveryResult) -> DeliveryResult:
    """Turn deferred outcomes of a message past its lifetime into failures, after a failed attempt only.

    Recipients whose mailboxes an administrator put on hold stay deferred.
    """
    claim, parameters = result.claim, conf.current()
    lifetime = parameters.maximal_queue_lifetime if claim.sender else parameters.bounce_queue_lifetime
    if states.now_us() - claim.received_us < lifetime * MICRO:
        return result
    outcomes = [
        (
            recipient,
            Outcome("failed", "5" + o.dsn[1:], o.text, o.relay) if o.kind == "deferred" and o != MAILBOX_ON_HOLD else o,
        )
        for recipient, o in result.outcomes
    ]
    if outcomes != list(result.outcomes):
        writer.write("qmgr", f"{claim.queue_id}: from=<{claim.sender}>, status=expired, returned to sender")
    return DeliveryResult(claim, outcomes, result.is_last)


def release_held_mailboxes() -> int:
    """Make messages that wait for mailboxes on hold due if one of these was released; return how many."""
    held = Queued.unsettled.filter(state=Queued.State.HOLD)
    waiting = Recipient.objects.filter(
        queued__in=held, state=Recipient.State.WAITING, dsn=MAILBOX_ON_HOLD.dsn, reason=MAILBOX_ON_HOLD.text
    )
    free = {
        queued_id
        for queued_id, address, final in waiting.values_list("queued_id", "address", "final").iterator(chunk_size=1000)
        if not isinstance(route := route_address(address, final=final), Local) or not route.held
    }
    ids = sorted(free)
    return sum(states.release(ids[at : at + _BATCH]) for at in range(0, len(ids), _BATCH))


_STATUS = {"delivered": "sent", "deferred": "deferred", "failed": "bounced"}


def log_line(queue_id: str, address: str, original: str, outcome: Outcome, times: tuple[int, int, int]) -> str:
    """Return "ID: to=<a>, orig_to=<b>, relay=r, delay=s, delays=a/b/c/d, dsn=x.y.z, status=sent (text)".

    `times`: received, claimed, now, in microseconds.
    """
    orig_to = f" orig_to=<{original}>," if original != address else ""
    received, claimed, now = times
    total, waited = (now - received) / MICRO, (claimed - received) / MICRO
    return (
        f"{queue_id}: to=<{address}>,{orig_to} relay={outcome.relay}, delay={total:.2g},"
        f" delays={waited:.2g}/0/0/{total - waited:.2g}, dsn={outcome.dsn},"
        f" status={_STATUS[outcome.kind]} ({outcome.text})"
    )
