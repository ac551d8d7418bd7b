"""The queue against a plain model, whatever couriers, administrators and dying processes do, in any order.

The table says what the model says, and no message is held by two couriers at once unless a lease ran out.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mailcore.models import Queued, Recipient
from mailcore.mta.queue import states
from mailcore.mta.queue.claim import Claim, DeliveryResult, PendingRecipient
from mailcore.values import Outcome, deferred_outcome, delivered_outcome, failed_outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

COURIERS = ("anna", "bob", "carl")
OUTCOMES = {
    "delivered": delivered_outcome("ok"),
    "deferred": deferred_outcome("4.2.0", "later"),
    "failed": failed_outcome("5.1.1", "no"),
}
couriers = st.sampled_from(COURIERS)
pick = st.integers(0, 30)


@dataclass
class Plain:
    """A message as one would write it on a slip of paper."""

    waiting: set[str]
    state: str = "incoming"
    courier: str = ""
    leased: bool = False  # a courier may be at work on it
    due: bool = True
    settled: dict[str, str] = field(default_factory=dict)

    def let_go(self) -> None:
        self.courier, self.leased = "", False


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        Queued.objects.all().delete()
        self.messages: dict[int, Plain] = {}
        self.claims: list[tuple[str, Claim]] = []  # what couriers believe they have
        self.names = 0

    def choose(self, number: int) -> int | None:
        ids = sorted(self.messages)
        return ids[number % len(ids)] if ids else None

    # --- What happens ---

    @initialize()
    def begin(self) -> None:
        """With work for everybody, so that moves mostly find something to move."""
        for _ in range(3):
            self.accept(2, hold=False)
        self.claim("anna", 2)

    @rule(count=st.integers(1, 3), hold=st.booleans())
    def accept(self, count: int, hold: bool) -> None:
        self.names += 1
        people = {f"{self.names}.{number}@far.example" for number in range(count)}
        message = self.post(*sorted(people), hold=hold)
        self.messages[message.id] = Plain(people, "hold" if hold else "incoming")

    @rule(courier=couriers, limit=st.integers(1, 3))
    def claim(self, courier: str, limit: int) -> None:
        free = {id_ for id_, each in self.messages.items() if self.may_be_claimed(each)}
        claims = states.claim_due(courier, limit)
        assert {claim.id for claim in claims} <= free
        assert len(claims) == min(limit, len(free))
        at_work = {(claim.id, duty.address) for holder, claim in self.claims for duty in claim.pending
                   if self.messages[claim.id].leased and self.messages[claim.id].courier == holder}  # fmt: skip
        for claim in claims:
            plain = self.messages[claim.id]
            assert {duty.address for duty in claim.pending} == plain.waiting
            assert not at_work & {(claim.id, duty.address) for duty in claim.pending}
            plain.state, plain.courier, plain.leased = "active", courier, True
            self.claims.append((courier, claim))

    def may_be_claimed(self, plain: Plain) -> bool:
        if plain.state == "active":
            return not plain.leased
        return plain.state in ("incoming", "deferred") and plain.due

    @rule(which=pick, said=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=3, max_size=3), last=st.booleans())
    def settle(self, which: int, said: list[str], last: bool) -> None:
        """A courier has something to tell, perhaps long after it lost the message."""
        if not self.claims:
            return
        courier, claim = self.claims.pop(which % len(self.claims))
        outcomes: list[tuple[PendingRecipient, Outcome]] = [
            (duty, OUTCOMES[kind]) for duty, kind in zip(list(claim.pending), said, strict=False)
        ]
        served = {duty.address: outcome.kind for duty, outcome in outcomes if outcome.kind != "deferred"}
        settlement = DeliveryResult(claim, outcomes, is_last=last)
        states.record_results(courier, [settlement])
        plain = self.messages[claim.id]
        for address, kind in served.items():
            if address in plain.waiting:
                plain.waiting.discard(address)
                plain.settled[address] = kind
        if settlement.is_complete:
            if plain.state in ("active", "hold"):
                plain.state = "done"
                plain.let_go()
        elif last and plain.courier == courier:
            if plain.state == "active":
                plain.state, plain.due = "deferred", False
                plain.let_go()
            elif plain.state == "hold":
                plain.let_go()
        if not last:
            self.claims.append((courier, claim))

    @rule(which=pick)
    def lease_runs_out(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None and self.messages[id_].leased:
            Queued.objects.filter(id=id_).update(lease_us=1)
            self.messages[id_].leased = False

    @rule(courier=couriers, which=st.lists(pick, max_size=4))
    def extend(self, courier: str, which: list[int]) -> None:
        """Renew leases of a courier that is at work on these, or believes so.

        A lease that ran out is its again unless another courier was quicker.
        """
        ids = {id_ for number in which if (id_ := self.choose(number)) is not None}
        states.renew_lease(courier, ids)
        for id_ in ids:
            plain = self.messages[id_]
            if plain.courier == courier and plain.state in ("active", "hold"):
                plain.leased = True

    @rule(which=pick)
    def time_passes(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None:
            Queued.objects.filter(id=id_).update(due_us=1)
            self.messages[id_].due = True

    @rule(courier=couriers)
    def courier_ends(self, courier: str) -> None:
        """It stops, or somebody notices that it was killed: either way it says nothing more."""
        states.release_claims(courier)
        self.claims = [(holder, claim) for holder, claim in self.claims if holder != courier]
        for plain in self.messages.values():
            if plain.courier == courier and plain.state in ("active", "hold"):
                if plain.state == "active":
                    plain.state, plain.due = "deferred", True
                plain.let_go()

    @rule(which=pick)
    def hold(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None:
            states.hold([id_])
            if self.messages[id_].state in ("incoming", "active", "deferred"):
                self.messages[id_].state = "hold"

    @rule(which=pick)
    def release(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None:
            states.release([id_])
            plain = self.messages[id_]
            if plain.state == "hold" and plain.leased:
                plain.state = "active"
            elif plain.state == "hold":
                plain.state, plain.due = "deferred", True
                plain.let_go()

    @rule(which=pick)
    def flush(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None:
            states.flush([id_])
            if self.messages[id_].state == "deferred":
                self.messages[id_].due = True

    @rule(which=pick)
    def remove(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is not None:
            states.remove([id_])
            self.end(self.messages[id_])

    @rule(which=pick)
    def requeue(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is None:
            return
        plain = self.messages[id_]
        new_id = states.requeue(id_)
        assert (new_id is not None) == (plain.state in ("incoming", "deferred", "hold") and not plain.leased)
        if new_id is not None:
            self.messages[new_id] = Plain(set(plain.waiting))
            self.end(plain)

    def end(self, plain: Plain) -> None:
        if plain.state != "done":
            plain.settled.update(dict.fromkeys(plain.waiting, "removed"))
            plain.waiting, plain.state = set(), "done"
            plain.let_go()

    @rule(which=pick)
    def take(self, which: int) -> None:
        id_ = self.choose(which)
        if id_ is None:
            return
        plain = self.messages[id_]
        claims = states.claim_ids("dora", [id_])
        assert bool(claims) == (plain.state in ("incoming", "deferred", "hold") and not plain.leased)
        if claims:
            [claim] = claims
            assert {duty.address for duty in claim.pending} == plain.waiting
            plain.state, plain.courier, plain.leased = "active", "dora", True
            self.claims.append(("dora", claim))

    @rule(which=pick)
    def spoil(self, which: int) -> None:
        if not self.claims:
            return
        courier, claim = self.claims[which % len(self.claims)]
        plain = self.messages[claim.id]
        spoilt = states.mark_corrupt(courier, claim.id)
        assert spoilt == (plain.state == "active" and plain.courier == courier)
        if spoilt:
            plain.state = "corrupt"
            plain.let_go()

    # --- What must be so ---

    @invariant()
    def the_table_says_what_the_model_says(self) -> None:
        rows = {row.id: row for row in Queued.objects.all()}
        assert rows.keys() == self.messages.keys()
        recipients: dict[int, dict[str, str]] = {id_: {} for id_ in rows}
        for queued_id, address, state in Recipient.objects.values_list("queued_id", "address", "state"):
            recipients[queued_id][address] = state
        now = states.now_us()
        for id_, plain in self.messages.items():
            row = rows[id_]
            assert (row.state, row.courier) == (plain.state, plain.courier), f"{id_:X}"
            assert (row.lease_us > now) == plain.leased
            assert recipients[id_] == {**dict.fromkeys(plain.waiting, "waiting"), **plain.settled}


def test_the_queue_does_what_the_model_does(post):
    class Bound(Model):
        pass

    Bound.post = staticmethod(post)
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
