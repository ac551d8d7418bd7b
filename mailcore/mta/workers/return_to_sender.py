"""Messages returned to their senders at once, because the administrator sees that they will never arrive.

What a courier would do when a message's time is over, done now: every recipient who still waits has failed, and the
sender is told.
"""

from collections.abc import Collection

from mailcore.logs import writer
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import states
from mailcore.mta.queue.states import Claim, DeliveryResult
from mailcore.store.db.retry import run_in_transaction
from mailcore.store.processes import instance
from mailcore.values import failed_outcome


def _is_whole(courier: str, claim: Claim) -> bool:
    """The notice quotes the content: a message whose file is damaged is set aside."""
    if not (damage := claim.damage()):
        return True
    if states.mark_corrupt(courier, claim.id):
        writer.write("qmgr", f"{claim.queue_id}: warning: {damage}, moved to corrupt")
    return False


_OUTCOME = failed_outcome("5.4.7", "returned to sender by the administrator", "none")


def return_to_sender(queued_ids: Collection[int]) -> int:
    """Returns how many messages went back; one that a courier is at work on, or that cannot be read, stays."""
    name = instance.numbered()  # by which the claims of a process that died are given back
    claims = [claim for claim in states.claim_ids(name, queued_ids) if _is_whole(name, claim)]
    settlements = [DeliveryResult(claim, [(duty, _OUTCOME) for duty in claim.pending]) for claim in claims]
    run_in_transaction(lambda: deliver.record_results(name, settlements))
    leftovers = PendingCleanup()
    leftovers.add(settlements, ())
    leftovers.clear()
    return len(claims)
