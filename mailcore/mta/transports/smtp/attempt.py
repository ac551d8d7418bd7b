"""One delivery attempt: over a cached connection, else host after host, best first.

A host that cannot be reached or refuses the connection is skipped; recipients deferred by one host are tried at the
next (smtp_mx_session_limit). The outcome is that of the last host tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue.claim import PendingRecipient
from mailcore.mta.transports.smtp import send_message
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.mta.transports.smtp.mx import MxHost, NoRoute, resolve_next_hop
from mailcore.mta.transports.smtp.session import ConnectionLost, HostRefused, Session, open_session
from mailcore.values import Outcome


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt; `session` may serve the next message.

    `fault` is the failure of the destination, if no host there accepted the connection.
    """

    results: Results
    session: Session | None = None
    fault: Outcome | None = None


async def attempt_delivery(job: DeliveryJob, next_hop: str, session: Session | None) -> AttemptResult:
    """Return an outcome for every recipient of the job. `session` is a connection cached after an earlier message."""
    attempt = _AttemptRun(job, next_hop)
    if session is not None and not await attempt.try_cached(session):
        return attempt.result()
    try:
        peers = await resolve_next_hop(next_hop)
    except NoRoute as error:
        attempt.record_all(error.outcome)
        return attempt.result()
    await attempt.try_hosts(peers)
    return attempt.result()


class _AttemptRun:
    def __init__(self, job: DeliveryJob, next_hop: str) -> None:
        self._job = job
        self._next_hop = next_hop
        self._pending: list[PendingRecipient] = list(job.pending)  # Not yet delivered or failed.
        self._outcomes: dict[int, Outcome] = {}
        self._session: Session | None = None
        self._fault: Outcome | None = None

    def result(self) -> AttemptResult:
        results = [(recipient, self._outcomes[recipient.id]) for recipient in self._job.pending]
        return AttemptResult(results, self._session, self._fault)

    def record_all(self, outcome: Outcome) -> None:
        self._record([(recipient, outcome) for recipient in self._pending])

    def _record(self, results: Iterable[tuple[PendingRecipient, Outcome]]) -> None:
        self._outcomes.update((recipient.id, outcome) for recipient, outcome in results)
        self._pending = [recipient for recipient in self._pending if self._is_pending(recipient)]

    def _is_pending(self, recipient: PendingRecipient) -> bool:
        return recipient.id not in self._outcomes or self._outcomes[recipient.id].kind == "deferred"

    async def try_cached(self, session: Session) -> bool:
        """Try a connection that served other messages. Return True if it had ended, so that a new one is needed."""
        try:
            self._record(await send_message.send_message(session, self._job, self._pending))
        except ConnectionLost as lost:
            if lost.after_content:
                self.record_all(lost.outcome)
                self._fault = lost.outcome
                return False
            return True
        if session.is_finished and self._pending:
            return True
        self._session = session
        return False

    async def try_hosts(self, peers: Iterable[MxHost]) -> None:
        talked = 0
        for peer in peers:
            if self._session is not None:
                self._session.quit()
                self._session = None
            try:
                self._session = await open_session(peer, self._next_hop, self._job)
                self._record(await send_message.send_message(self._session, self._job, self._pending))
            except HostRefused as refused:
                self._record_failure(refused.outcome)
                talked += refused.talked
            except ConnectionLost as lost:
                self._record_failure(lost.outcome)
                if lost.after_content:
                    return  # The message may have arrived: another host would deliver it a second time.
                talked += 1
            else:
                self._fault = (
                    self._outcomes[self._pending[0].id] if self._session.is_finished and self._pending else None
                )
                talked += 1
            if not self._pending or talked >= conf.current().smtp_mx_session_limit:
                return

    def _record_failure(self, outcome: Outcome) -> None:
        writer.write("smtp", f"{self._job.claim.queue_id}: {outcome.text}")
        self._session = None
        self._fault = outcome
        self.record_all(outcome)
