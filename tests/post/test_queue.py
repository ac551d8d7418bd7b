"""The queue's truth table: every legal move is made, every other is refused."""

import itertools
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from mailcore.models import Queued, Recipient
from mailcore.post import files, queue
from mailcore.post.queue import MICRO, Settlement
from mailcore.terms import deferred, delivered, failed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

State = Queued.State


def state_of(letter_id: int) -> str:
    return Queued.objects.get(id=letter_id).state


def bring_to(letter_id: int, state: str) -> None:
    """From incoming to `state`, by legal moves."""
    match state:
        case State.ACTIVE:
            queue.claim("anna", 10)
        case State.DEFERRED:
            [claim] = queue.claim("anna", 10)
            queue.settle("anna", [Settlement(claim, [(d, deferred("4.2.0", "later")) for d in claim.duties])])
        case State.HOLD:
            queue.hold([letter_id])
        case State.CORRUPT:
            queue.claim("anna", 10)
            queue.spoil("anna", letter_id)
        case State.DONE:
            [claim] = queue.claim("anna", 10)
            queue.settle("anna", [Settlement(claim, [(d, delivered("ok")) for d in claim.duties])])
    assert state_of(letter_id) == state


def make_due(letter_id: int) -> None:
    Queued.objects.filter(id=letter_id).update(due_us=0)


def lose_lease(letter_id: int) -> None:
    Queued.objects.filter(id=letter_id, state=State.ACTIVE).update(lease_us=1)


MOVES = {
    "claim": lambda id_: (make_due(id_), queue.claim("bob", 10)),
    "claim lost": lambda id_: (lose_lease(id_), queue.claim("bob", 10)),
    "hold": lambda id_: queue.hold([id_]),
    "release": lambda id_: queue.release([id_]),
    "flush": lambda id_: queue.flush([id_]),
    "spoil": lambda id_: queue.spoil("anna", id_),
    "spoil by another": lambda id_: queue.spoil("bob", id_),
    "give back": lambda id_: queue.give_back("anna"),
    "give back by another": lambda id_: queue.give_back("bob"),
    "remove": lambda id_: queue.remove([id_]),
    "requeue": lambda id_: queue.requeue(id_),
}
LEGAL = {
    ("claim", State.INCOMING): State.ACTIVE,
    ("claim", State.DEFERRED): State.ACTIVE,
    ("claim lost", State.INCOMING): State.ACTIVE,
    ("claim lost", State.ACTIVE): State.ACTIVE,
    ("hold", State.INCOMING): State.HOLD,
    ("hold", State.ACTIVE): State.HOLD,
    ("hold", State.DEFERRED): State.HOLD,
    ("release", State.HOLD): State.DEFERRED,
    ("spoil", State.ACTIVE): State.CORRUPT,
    ("give back", State.ACTIVE): State.DEFERRED,
    **{("remove", s): State.DONE for s in (State.INCOMING, State.ACTIVE, State.DEFERRED, State.HOLD, State.CORRUPT)},
    # The letter goes on under a new id; the old row is history.
    **{("requeue", s): State.DONE for s in (State.INCOMING, State.DEFERRED, State.HOLD)},
}


@pytest.mark.parametrize(("move", "start"), list(itertools.product(MOVES, State.values)))
def test_every_move_from_every_state(post, move, start):
    letter = post("lisi")
    bring_to(letter.id, start)
    MOVES[move](letter.id)
    assert state_of(letter.id) == LEGAL.get((move, start), start)


def test_a_state_that_cannot_be_is_refused_by_the_table(post):
    letter = post("lisi")
    for wrong in ({"state": State.ACTIVE, "lease_us": 0}, {"state": State.DONE}, {"lease_us": 5}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Queued.objects.filter(id=letter.id).update(**wrong)


def test_two_couriers_never_hold_the_same_letter(post):
    ids = {post("lisi").id for _ in range(5)}
    first = {claim.id for claim in queue.claim("anna", 3)}
    second = {claim.id for claim in queue.claim("bob", 10)}
    assert first | second == ids
    assert not first & second
    assert queue.claim("carl", 10) == []


def test_the_retry_schedule(parameters):
    minutes = [queue.next_delay(age * 60 * MICRO) // (60 * MICRO) for age in (0, 5, 10, 20, 40, 80, 1000)]
    assert minutes == [5, 5, 10, 20, 40, 66, 66]


def test_what_was_delivered_stays_delivered_though_the_letter_was_held_meanwhile(post):
    letter = post("lisi", "xiaoqi")
    [claim] = queue.claim("anna", 1)
    queue.hold([letter.id])
    one, other = claim.duties
    queue.settle("anna", [Settlement(claim, [(one, delivered("ok")), (other, deferred("4.2.0", "later"))])])
    assert state_of(letter.id) == State.HOLD
    queue.release([letter.id])
    [claim] = queue.claim("bob", 1)
    assert [duty.address for duty in claim.duties] == [other.address]


def test_what_is_held_while_a_courier_is_at_work_goes_to_nobody_else(post):
    """Released before the courier is through, it is that courier's still: another would deliver it again."""
    letter = post("lisi", "xiaoqi")
    [claim] = queue.claim("anna", 1)
    queue.hold([letter.id])
    assert queue.requeue(letter.id) is None
    assert queue.release([letter.id]) == 1
    assert state_of(letter.id) == State.ACTIVE
    assert queue.claim("bob", 1) == []
    queue.settle("anna", [Settlement(claim, [(d, deferred("4.2.0", "later")) for d in claim.duties])])
    assert state_of(letter.id) == State.DEFERRED


@pytest.mark.parametrize("ending", ["settle", "give back", "lease"])
def test_a_held_letter_is_free_when_its_courier_has_let_go_of_it(post, ending):
    letter = post("lisi")
    [claim] = queue.claim("anna", 1)
    queue.hold([letter.id])
    match ending:
        case "settle":
            queue.settle("anna", [Settlement(claim, [(claim.duties[0], deferred("4.2.0", "later"))])])
        case "give back":
            queue.give_back("anna")
        case "lease":
            Queued.objects.update(lease_us=1)
    assert state_of(letter.id) == State.HOLD
    queue.release([letter.id])
    assert state_of(letter.id) == State.DEFERRED
    assert [claim.id for claim in queue.claim("bob", 1)] == [letter.id]


def test_a_courier_extends_what_it_has_and_nothing_else(post):
    first, second = post("lisi"), post("lisi")
    queue.claim("anna", 1)
    queue.claim("bob", 1)
    Queued.objects.update(lease_us=5)
    queue.hold([first.id])
    queue.extend("anna", [first.id, second.id])
    assert Queued.objects.get(id=first.id).lease_us > 5
    assert Queued.objects.get(id=second.id).lease_us == 5


def test_a_courier_that_lost_its_lease_cannot_defer_another_ones_letter(post):
    letter = post("lisi")
    [claim] = queue.claim("anna", 1)
    lose_lease(letter.id)
    queue.claim("bob", 1)
    queue.settle("anna", [Settlement(claim, [(claim.duties[0], deferred("4.2.0", "later"))])])
    row = Queued.objects.get(id=letter.id)
    assert (row.state, row.courier) == (State.ACTIVE, "bob")


def test_an_outcome_is_recorded_once(post):
    post("lisi")
    [claim] = queue.claim("anna", 1)
    [duty] = claim.duties
    queue.settle("anna", [Settlement(claim, [(duty, delivered("ok"))])])
    claim.duties.append(duty)
    queue.settle("bob", [Settlement(claim, [(duty, failed("5.0.0", "no"))])])
    assert Recipient.objects.get().state == Recipient.State.DELIVERED


def test_requeueing_starts_a_new_life(post):
    letter = post("lisi", sender="a@other.example")
    queue.hold([letter.id])
    new_id = queue.requeue(letter.id)
    assert new_id is not None
    new = Queued.objects.get(id=new_id)
    assert (new.state, new.sender) == (State.INCOMING, "a@other.example")
    assert new.received_us > letter.received_us
    assert Path(files.path(new_id)).read_bytes().endswith(b"body\r\n")
    assert not Path(files.path(letter.id)).exists()


def test_removing_takes_the_file_along(post):
    letter = post("lisi")
    assert queue.remove([letter.id]) == 1
    assert not Path(files.path(letter.id)).exists()
    assert Recipient.objects.get().state == Recipient.State.REMOVED


def test_history_ends_after_a_week(post, parameters):
    letter = post("lisi")
    bring_to(letter.id, State.DONE)
    assert queue.forget_settled() == 0
    parameters(queue_history_time="0")
    assert queue.forget_settled() == 0  # its content may be all that is left of a message
    files.remove(letter.id)
    assert queue.forget_settled() == 1
    assert not Queued.objects.exists()


def test_claiming_asks_a_constant_number_of_questions(post):
    asked = []
    for count in (3, 30):
        for _ in range(count):
            post("lisi")
        with CaptureQueriesContext(connection) as queries:
            assert len(queue.claim("anna", 100)) == count
        asked.append(len(queries))
    assert asked[0] == asked[1]
