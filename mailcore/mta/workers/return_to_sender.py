"""Return of messages to their senders at once, because the administrator knows that they cannot be delivered.

Does now what a courier would do when a message's queue lifetime ends: every pending recipient fails, and the sender is
notified.
"""

from collections.abc import Collection

from mailcore.logs import writer
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import states
from mailcore.mta.queue.claim import Claim, DeliveryResult
from mailcore.store.db.retry import run_in_transaction
from mailcore.store.processes import instance
from mailcore.values import failed_outcome


def _is_intact(courier: str, claim: Claim) -> bool:
    """Return True if the content is intact; else mark the message corrupt. The notice quotes the content."""
    if not (damage := claim.damage()):
        return True
    if states.mark_corrupt(courier, claim.id):
        writer.write("qmgr", f"{claim.queue_id}: warning: {damage}, moved to corrupt")
    return False


_OUTCOME = failed_outcome("5.4.7", "returned to sender by the administrator", "none")


def return_to_sender(queued_ids: Collection[int]) -> int:
    """Return messages to their senders; return how many. Messages a courier has, or that are corrupt, are left."""
    courier = instance.numbered()  # The name by which the claims of a killed process are released.
    claims = [claim for claim in states.claim_ids(courier, queued_ids) if _is_intact(courier, claim)]
    results = [DeliveryResult(claim, [(recipient, _OUTCOME) for recipient in claim.pending]) for claim in claims]
    run_in_transaction(lambda: deliver.record_results(courier, results))
    cleanup = PendingCleanup()
    cleanup.add(results, ())
    cleanup.clear()
    return len(claims)
