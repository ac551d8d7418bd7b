"""Letters returned to their senders at once, because the administrator sees that they will never arrive.

What a courier would do when a letter's time is over, done now: every recipient who still waits has failed, and the
sender is told.
"""

from collections.abc import Collection

from mailcore import log
from mailcore.post import deliver, queue
from mailcore.post.leftovers import Leftovers
from mailcore.post.queue import Claim, Settlement
from mailcore.store import instance
from mailcore.store.retry import in_transaction
from mailcore.terms import failed


def _is_whole(courier: str, claim: Claim) -> bool:
    """The notice quotes the content: a letter whose file is damaged is set aside."""
    if not (damage := claim.damage()):
        return True
    if queue.spoil(courier, claim.id):
        log.write("qmgr", f"{claim.queue_id}: warning: {damage}, moved to corrupt")
    return False


_OUTCOME = failed("5.4.7", "returned to sender by the administrator", "none")


def return_now(letter_ids: Collection[int]) -> int:
    """Returns how many letters went back; one that a courier is at work on, or that cannot be read, stays."""
    name = instance.numbered()  # by which the claims of a process that died are given back
    claims = [claim for claim in queue.take(name, letter_ids) if _is_whole(name, claim)]
    settlements = [Settlement(claim, [(duty, _OUTCOME) for duty in claim.duties]) for claim in claims]
    in_transaction(lambda: deliver.settle(name, settlements))
    leftovers = Leftovers()
    leftovers.add(settlements, ())
    leftovers.clear()
    return len(claims)
