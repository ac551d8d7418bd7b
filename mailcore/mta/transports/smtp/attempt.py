"""One delivery attempt: over a connection that is there already, else host after host, best first.

A host that cannot be reached or does not talk to us is passed over; whoever is told to wait by one host is
tried at the next (smtp_mx_session_limit). The outcome is what the last one said.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue.states import PendingRecipient
from mailcore.mta.transports.smtp import send_message
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.mta.transports.smtp.mx import MxHost, NoRoute, resolve_next_hop
from mailcore.mta.transports.smtp.session import ConnectionLost, HostRefused, Session, open_session
from mailcore.values import Outcome


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended; `session` may serve the next message, `fault` says what is wrong with the destination
    where nobody there would talk with us."""

    results: Results
    session: Session | None = None
    fault: Outcome | None = None


async def attempt_delivery(job: DeliveryJob, next_hop: str, session: Session | None) -> AttemptResult:
    """An outcome for every duty of the job. `session` is one kept from an earlier message."""
    run = _AttemptRun(job, next_hop)
    if session is not None and not await run.over_kept(session):
        return run.ended()
    try:
        peers = await resolve_next_hop(next_hop)
    except NoRoute as error:
        run.all_left(error.outcome)
        return run.ended()
    await run.over(peers)
    return run.ended()


class _AttemptRun:
    def __init__(self, job: DeliveryJob, next_hop: str) -> None:
        self._job = job
        self._next_hop = next_hop
        self._left: list[PendingRecipient] = list(job.pending)  # not yet delivered or failed
        self._said: dict[int, Outcome] = {}
        self._session: Session | None = None
        self._fault: Outcome | None = None

    def ended(self) -> AttemptResult:
        results = [(duty, self._said[duty.id]) for duty in self._job.pending]
        return AttemptResult(results, self._session, self._fault)

    def all_left(self, outcome: Outcome) -> None:
        self._take([(duty, outcome) for duty in self._left])

    def _take(self, results: Iterable[tuple[PendingRecipient, Outcome]]) -> None:
        self._said.update((duty.id, outcome) for duty, outcome in results)
        self._left = [duty for duty in self._left if self._waits(duty)]

    def _waits(self, duty: PendingRecipient) -> bool:
        return duty.id not in self._said or self._said[duty.id].kind == "deferred"

    async def over_kept(self, session: Session) -> bool:
        """Over a connection that served other messages. True: it was at its end, so a new one must be made."""
        try:
            self._take(await send_message.send_message(session, self._job, self._left))
        except ConnectionLost as lost:
            if lost.after_content:
                self.all_left(lost.outcome)
                self._fault = lost.outcome
                return False
            return True
        if session.over and self._left:
            return True
        self._session = session
        return False

    async def over(self, peers: Iterable[MxHost]) -> None:
        talked = 0
        for peer in peers:
            if self._session is not None:
                self._session.quit()
                self._session = None
            try:
                self._session = await open_session(peer, self._next_hop, self._job)
                self._take(await send_message.send_message(self._session, self._job, self._left))
            except HostRefused as refused:
                self._failed_at(refused.outcome)
                talked += refused.talked
            except ConnectionLost as lost:
                self._failed_at(lost.outcome)
                if lost.after_content:
                    return  # it may have arrived: another host would deliver it a second time
                talked += 1
            else:
                self._fault = self._said[self._left[0].id] if self._session.over and self._left else None
                talked += 1
            if not self._left or talked >= conf.current().smtp_mx_session_limit:
                return

    def _failed_at(self, outcome: Outcome) -> None:
        writer.write("smtp", f"{self._job.claim.queue_id}: {outcome.text}")
        self._session = None
        self._fault = outcome
        self.all_left(outcome)
