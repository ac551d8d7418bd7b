"""The queue's truth table: every legal move is made, every other is refused."""

import itertools
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from mailcore.models import Queued, Recipient
from mailcore.mta.queue import content_files, states
from mailcore.mta.queue.claim import DeliveryResult
from mailcore.mta.queue.states import MICRO
from mailcore.values import deferred_outcome, delivered_outcome, failed_outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

State = Queued.State


def state_of(queued_id: int) -> str:
    return Queued.objects.get(id=queued_id).state


def bring_to(queued_id: int, state: str) -> None:
    """From incoming to `state`, by legal moves."""
    match state:
        case State.ACTIVE:
            states.claim_due("anna", 10)
        case State.DEFERRED:
            [claim] = states.claim_due("anna", 10)
            states.record_results(
                "anna", [DeliveryResult(claim, [(d, deferred_outcome("4.2.0", "later")) for d in claim.pending])]
            )
        case State.HOLD:
            states.hold([queued_id])
        case State.CORRUPT:
            states.claim_due("anna", 10)
            states.mark_corrupt("anna", queued_id)
        case State.DONE:
            [claim] = states.claim_due("anna", 10)
            states.record_results(
                "anna", [DeliveryResult(claim, [(d, delivered_outcome("ok")) for d in claim.pending])]
            )
    assert state_of(queued_id) == state


def make_due(queued_id: int) -> None:
    Queued.objects.filter(id=queued_id).update(due_us=0)


def lose_lease(queued_id: int) -> None:
    Queued.objects.filter(id=queued_id, state=State.ACTIVE).update(lease_us=1)


MOVES = {
    "claim": lambda id_: (make_due(id_), states.claim_due("bob", 10)),
    "claim lost": lambda id_: (lose_lease(id_), states.claim_due("bob", 10)),
    "hold": lambda id_: states.hold([id_]),
    "release": lambda id_: states.release([id_]),
    "flush": lambda id_: states.flush([id_]),
    "spoil": lambda id_: states.mark_corrupt("anna", id_),
    "spoil by another": lambda id_: states.mark_corrupt("bob", id_),
    "give back": lambda id_: states.release_claims("anna"),
    "give back by another": lambda id_: states.release_claims("bob"),
    "remove": lambda id_: states.remove([id_]),
    "requeue": lambda id_: states.requeue(id_),
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
    # The message goes on under a new id; the old row is history.
    **{("requeue", s): State.DONE for s in (State.INCOMING, State.DEFERRED, State.HOLD)},
}


@pytest.mark.parametrize(("move", "start"), list(itertools.product(MOVES, State.values)))
def test_every_move_from_every_state(post, move, start):
    message = post("lisi")
    bring_to(message.id, start)
    MOVES[move](message.id)
    assert state_of(message.id) == LEGAL.get((move, start), start)


def test_a_state_that_cannot_be_is_refused_by_the_table(post):
    message = post("lisi")
    for wrong in ({"state": State.ACTIVE, "lease_us": 0}, {"state": State.DONE}, {"lease_us": 5}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Queued.objects.filter(id=message.id).update(**wrong)


def test_two_couriers_never_hold_the_same_message(post):
    ids = {post("lisi").id for _ in range(5)}
    first = {claim.id for claim in states.claim_due("anna", 3)}
    second = {claim.id for claim in states.claim_due("bob", 10)}
    assert first | second == ids
    assert not first & second
    assert states.claim_due("carl", 10) == []


def test_the_retry_schedule(parameters):
    minutes = [states.backoff_delay(age * 60 * MICRO) // (60 * MICRO) for age in (0, 5, 10, 20, 40, 80, 1000)]
    assert minutes == [5, 5, 10, 20, 40, 66, 66]


def test_what_was_delivered_stays_delivered_though_the_message_was_held_meanwhile(post):
    message = post("lisi", "xiaoqi")
    [claim] = states.claim_due("anna", 1)
    states.hold([message.id])
    one, other = claim.pending
    states.record_results(
        "anna", [DeliveryResult(claim, [(one, delivered_outcome("ok")), (other, deferred_outcome("4.2.0", "later"))])]
    )
    assert state_of(message.id) == State.HOLD
    states.release([message.id])
    [claim] = states.claim_due("bob", 1)
    assert [duty.address for duty in claim.pending] == [other.address]


def test_what_is_held_while_a_courier_is_at_work_goes_to_nobody_else(post):
    """Released before the courier is through, it is that courier's still: another would deliver it again."""
    message = post("lisi", "xiaoqi")
    [claim] = states.claim_due("anna", 1)
    states.hold([message.id])
    assert states.requeue(message.id) is None
    assert states.release([message.id]) == 1
    assert state_of(message.id) == State.ACTIVE
    assert states.claim_due("bob", 1) == []
    states.record_results(
        "anna", [DeliveryResult(claim, [(d, deferred_outcome("4.2.0", "later")) for d in claim.pending])]
    )
    assert state_of(message.id) == State.DEFERRED


@pytest.mark.parametrize("ending", ["settle", "give back", "lease"])
def test_a_held_message_is_free_when_its_courier_has_let_go_of_it(post, ending):
    message = post("lisi")
    [claim] = states.claim_due("anna", 1)
    states.hold([message.id])
    match ending:
        case "settle":
            states.record_results(
                "anna", [DeliveryResult(claim, [(claim.pending[0], deferred_outcome("4.2.0", "later"))])]
            )
        case "give back":
            states.release_claims("anna")
        case "lease":
            Queued.objects.update(lease_us=1)
    assert state_of(message.id) == State.HOLD
    states.release([message.id])
    assert state_of(message.id) == State.DEFERRED
    assert [claim.id for claim in states.claim_due("bob", 1)] == [message.id]


def test_a_courier_extends_what_it_has_and_nothing_else(post):
    first, second = post("lisi"), post("lisi")
    states.claim_due("anna", 1)
    states.claim_due("bob", 1)
    Queued.objects.update(lease_us=5)
    states.hold([first.id])
    states.renew_lease("anna", [first.id, second.id])
    assert Queued.objects.get(id=first.id).lease_us > 5
    assert Queued.objects.get(id=second.id).lease_us == 5


def test_a_courier_that_lost_its_lease_cannot_defer_another_ones_message(post):
    message = post("lisi")
    [claim] = states.claim_due("anna", 1)
    lose_lease(message.id)
    states.claim_due("bob", 1)
    states.record_results("anna", [DeliveryResult(claim, [(claim.pending[0], deferred_outcome("4.2.0", "later"))])])
    row = Queued.objects.get(id=message.id)
    assert (row.state, row.courier) == (State.ACTIVE, "bob")


def test_an_outcome_is_recorded_once(post):
    post("lisi")
    [claim] = states.claim_due("anna", 1)
    [duty] = claim.pending
    states.record_results("anna", [DeliveryResult(claim, [(duty, delivered_outcome("ok"))])])
    claim.pending.append(duty)
    states.record_results("bob", [DeliveryResult(claim, [(duty, failed_outcome("5.0.0", "no"))])])
    assert Recipient.objects.get().state == Recipient.State.DELIVERED


def test_requeueing_starts_a_new_life(post):
    message = post("lisi", sender="a@other.example")
    states.hold([message.id])
    new_id = states.requeue(message.id)
    assert new_id is not None
    new = Queued.objects.get(id=new_id)
    assert (new.state, new.sender) == (State.INCOMING, "a@other.example")
    assert new.received_us > message.received_us
    assert Path(content_files.content_path(new_id)).read_bytes().endswith(b"body\r\n")
    assert not Path(content_files.content_path(message.id)).exists()


def test_removing_takes_the_file_along(post):
    message = post("lisi")
    assert states.remove([message.id]) == 1
    assert not Path(content_files.content_path(message.id)).exists()
    assert Recipient.objects.get().state == Recipient.State.REMOVED


def test_history_ends_after_a_week(post, parameters):
    message = post("lisi")
    bring_to(message.id, State.DONE)
    assert states.delete_old_history() == 0
    parameters(queue_history_time="0")
    assert states.delete_old_history() == 0  # its content may be all that is left of a message
    content_files.remove_content(message.id)
    assert states.delete_old_history() == 1
    assert not Queued.objects.exists()


def test_claiming_asks_a_constant_number_of_questions(post):
    asked = []
    for count in (3, 30):
        for _ in range(count):
            post("lisi")
        with CaptureQueriesContext(connection) as queries:
            assert len(states.claim_due("anna", 100)) == count
        asked.append(len(queries))
    assert asked[0] == asked[1]


YEAR = 365 * 86_400 * MICRO


def test_a_clock_that_was_ahead_delays_nothing(post, parameters):
    """Messages enqueued, deferred or scheduled by a clock a year ahead are due at once when it is right again."""
    parameters(maximal_backoff_time="4000s", smtpd_future_release_limit="1d")
    now = states.now_us()
    day = 86_400 * MICRO
    times = {  # state, received, due → due afterwards
        "enqueued by it": (State.INCOMING, now + YEAR, now + YEAR, "now"),
        "deferred by it": (State.DEFERRED, now + YEAR, now + YEAR, "now"),
        "scheduled by it": (State.INCOMING, now + YEAR, now + YEAR + day, "now"),
        "scheduled for tomorrow": (State.INCOMING, now, now + day, "kept"),
        "deferred for an hour": (State.DEFERRED, now - day, now + 3600 * MICRO, "kept"),
        "held": (State.HOLD, now, now + YEAR, "kept"),
    }
    ids = {name: post("lisi").id for name in times}
    for name, (state, received, due, _after) in times.items():
        Queued.objects.filter(id=ids[name]).update(state=state, received_us=received, due_us=due)
    assert states.correct_future_times() == 3
    for name, (_state, _received, due, after) in times.items():
        row = Queued.objects.get(id=ids[name])
        assert (row.due_us == due) == (after == "kept"), name
        assert row.received_us <= states.now_us() + 60 * MICRO, name
    assert {claim.id for claim in states.claim_due("anna", 10)} == {
        ids[n] for n, row in times.items() if row[3] == "now"
    }
    assert states.correct_future_times() == 0
