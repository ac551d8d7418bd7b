"""Many messages, many hosts: kept connections, how many at once, who is left alone, and where mail goes by MX."""

import socket
import threading

import pytest

from mailcore.models import Queued, Recipient
from mailcore.mta.queue import states
from mailcore.mta.transports.smtp.job import DeliveryJob
from mailcore.mta.workers.courier import Courier
from tests.mta.smtp.remote_host import HANG_UP, FarHost

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes() -> list[tuple[str, str]]:
    return sorted(Recipient.objects.values_list("state", "dsn"))


@pytest.fixture
def through(far, parameters):
    """A host all mail goes to, and settings."""

    def start(kind: type[FarHost] = FarHost, settings: dict[str, str] | None = None, **script: bytes) -> FarHost:
        host = far(kind, **script)
        parameters(relayhost=host.hop, **(settings or {}))
        return host

    return start


def test_a_connection_carries_many_messages(post, through):
    host = through(settings={"initial_destination_concurrency": "1", "default_destination_concurrency_limit": "1"})
    for _ in range(10):
        post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")] * 10
    assert (host.connections, len(host.messages)) == (1, 10)


def test_a_connection_is_used_so_often(post, through):
    host = through(
        settings={
            "initial_destination_concurrency": "1",
            "default_destination_concurrency_limit": "1",
            "smtp_connection_reuse_count_limit": "4",
        }
    )
    for _ in range(10):
        post("a@far.example")
    Courier().run_until_idle()
    assert (host.connections, len(host.messages)) == (3, 10)


class Tired(FarHost):
    """Takes two messages a connection, then 421 or nothing at all."""

    goodbye = b"421 4.7.0 too many messages on this connection\r\n"

    def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
        served = self.__dict__.setdefault("served", {})
        if verb == "MAIL":
            served[id(connection)] = served.get(id(connection), 0) + 1
            if served[id(connection)] > 2:
                del served[id(connection)]
                connection.sendall(self.goodbye)
                return False
        if verb == "":
            served.pop(id(connection), None)
        return super().answer(connection, verb, command)


@pytest.mark.parametrize("goodbye", [Tired.goodbye, b""], ids=["421", "hangs up"])
def test_a_host_that_has_enough_of_a_connection_gets_a_new_one(post, through, goodbye, monkeypatch):
    monkeypatch.setattr(Tired, "goodbye", goodbye)
    host = through(
        Tired, settings={"initial_destination_concurrency": "1", "default_destination_concurrency_limit": "1"}
    )
    for _ in range(7):
        post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")] * 7
    assert len(host.messages) == 7


def test_a_refused_message_does_not_spoil_the_connection_for_the_next(post, through):
    class Picky(FarHost):
        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            if verb == "RCPT" and "<no" in command:
                connection.sendall(b"550 5.1.1 nobody\r\n")
                return True
            return super().answer(connection, verb, command)

    host = through(Picky, settings={"default_destination_concurrency_limit": "1"})
    for name in ("no1", "yes1", "no2", "yes2"):
        post(f"{name}@far.example", sender="")
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")] * 2 + [("failed", "5.1.1")] * 2
    assert host.connections == 1
    assert "RSET" in host.verbs


class Meeting(FarHost):
    """Answers the end of a message only when so many connections have come that far."""

    guests = threading.Barrier(5)

    def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
        if verb == ".":
            self.guests.wait(30)
        return super().answer(connection, verb, command)


def test_a_destination_begins_with_a_few_connections_at_once(post, through):
    host = through(Meeting)
    for _ in range(5):
        post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")] * 5
    assert host.most_at_once == 5


def test_no_more_connections_than_the_limit(post, through):
    host = through(settings={"default_destination_concurrency_limit": "3"})
    for _ in range(40):
        post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")] * 40
    assert host.most_at_once <= 3


def test_many_recipients_are_served_in_parts(post, through):
    host = through(settings={"default_destination_recipient_limit": "4"})
    post(*(f"u{number}@far.example" for number in range(10)))
    Courier().run_until_idle()
    assert len(host.messages) == 3
    assert outcomes() == [("delivered", "2.0.0")] * 10
    assert Queued.objects.get().state == "done"


def test_a_slow_host_holds_up_nobody(post, far, dispatch):
    class Asleep(FarHost):
        awake = threading.Event()

        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            if verb == "MAIL":
                self.awake.wait(30)
            return super().answer(connection, verb, command)

    slow, quick = far(Asleep), far()
    for _ in range(30):
        post("a@slow.example")
    post("a@quick.example")
    jobs = [DeliveryJob(claim, slow.hop, tuple(claim.pending)) for claim in states.claim_due("anna", 30)]
    [last] = states.claim_due("anna", 1)
    dispatch.submit([*jobs, DeliveryJob(last, quick.hop, tuple(last.pending))])
    dispatch.wait(60)
    assert [settlement.claim.id for settlement in dispatch.take_finished()] == [last.id]
    slow.awake.set()


# --- Back-off -------------------------------------------------------------------------------------


def test_a_dead_destination_is_left_alone(post, through):
    host = through(greeting=b"421 4.3.2 not now\r\n")
    for _ in range(50):
        post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("waiting", "4.3.2")] * 50
    assert host.connections < 15
    reasons = set(Recipient.objects.values_list("reason", flat=True))
    said = "host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 not now"
    assert reasons == {said, f"delivery temporarily suspended: {said}"}
    assert set(Queued.objects.values_list("state", flat=True)) == {"deferred"}


def test_what_is_flushed_is_tried_all_the_same(post, through):
    host = through(greeting=b"421 4.3.2 not now\r\n")
    for _ in range(20):
        post("a@far.example")
    courier = Courier()
    while courier.step(wait=True):
        pass
    host.script[""] = b"220 hello again\r\n"
    post("a@far.example")
    while courier.step(wait=True):
        pass
    assert len(host.messages) == 0
    states.flush()
    while courier.step(wait=True):
        pass
    courier.close()
    assert outcomes() == [("delivered", "2.0.0")] * 21


def test_a_refused_recipient_says_nothing_about_the_host(post, through):
    host = through(RCPT=b"450 4.2.0 greylisted\r\n")
    for _ in range(20):
        post("a@far.example")
    Courier().run_until_idle()
    assert host.verbs.count("RCPT") == 20
    assert outcomes() == [("waiting", "4.2.0")] * 20


def test_transports_that_wait_for_a_flush(post, through):
    host = through(settings={"defer_transports": "smtp"})
    post("a@far.example")
    Courier().run_until_idle()
    assert outcomes() == [("waiting", "4.3.2")]
    assert host.connections == 0
    states.flush()
    Courier().run_until_idle()
    assert outcomes() == [("delivered", "2.0.0")]


# --- A courier that stops -------------------------------------------------------------------------


def test_what_a_host_is_hearing_when_the_courier_stops_is_not_sent_again(post, through):
    class Thoughtful(FarHost):
        heard, answering = threading.Event(), threading.Event()

        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            if verb == ".":
                self.heard.set()
                self.answering.wait(30)
            return super().answer(connection, verb, command)

    host = through(Thoughtful, settings={"default_destination_concurrency_limit": "1"})
    for _ in range(3):
        post("a@far.example")
    courier = Courier()
    courier.step()
    assert host.heard.wait(30)
    threading.Timer(0.1, host.answering.set).start()
    courier.close()
    assert outcomes() == [("delivered", "2.0.0"), ("waiting", ""), ("waiting", "")]
    assert sorted(Queued.objects.values_list("state", flat=True)) == ["deferred", "deferred", "done"]
    Courier().run_until_idle()
    assert len(host.messages) == 3


def test_one_host_has_taken_it_and_another_never_answers(post, far, parameters):
    """Recipients with a recorded result are not sent again while the message is still in delivery."""
    from mailcore.store.settings import lookup_tables

    class Mute(FarHost):
        reached = threading.Event()

        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            self.reached.set()
            connection.recv(1 << 16)
            return False

    good, mute = far(), far(Mute)
    lookup_tables.replace_entries("transport", {"good.example": f"smtp:{good.hop}", "mute.example": f"smtp:{mute.hop}"})
    post("a@good.example", "a@mute.example")
    courier = Courier()
    courier.step()
    assert mute.reached.wait(30)
    while not courier._record_remote_results():
        courier._dispatch.wait(30)
    assert outcomes() == [("delivered", "2.0.0"), ("waiting", "")]
    states.release_claims(courier.name)  # as if it had died
    [claim] = states.claim_due("bob", 1)
    assert [duty.address for duty in claim.pending] == ["a@mute.example"]
    mute.close()
    courier._dispatch.stop(0)


# --- Hosts ----------------------------------------------------------------------------------------


def test_mx_records_in_order(send, far, names):
    good = far()
    names("far.example", "MX", "20 second.far.example", "10 first.far.example", "30 third.far.example")
    names("first.far.example", "A", "127.0.0.9")
    names("second.far.example", "A", "127.0.0.1")
    names("third.far.example", "A", "127.0.0.1")
    assert send(f"far.example:{good.port}") == [("a@far.example", "delivered", "2.0.0")]
    assert len(good.messages) == 1


@pytest.mark.parametrize(
    ("records", "kind", "dsn", "text"),
    [
        ([], "failed", "5.4.4", "Host not found"),
        ([("far.example", "MX", "0 ")], "failed", "5.1.10", "nullMX"),
        ([("far.example", "MX", "10 mx.far.example")], "failed", "5.4.4", "name=mx.far.example"),
        ([("far.example", "TXT", "hello")], "failed", "5.4.4", "name=far.example"),
        ([("far.example", "MX", "10 Mail.benet.com")], "failed", "5.4.6", "mail for far.example loops back to myself"),
        (
            [("far.example", "MX", "10 mx.far.example"), ("mx.far.example", "A", "192.0.2.25")],
            "failed",
            "5.4.6",
            "mail for far.example loops back to myself",
        ),
    ],
)
def test_names_that_lead_nowhere(send, names, parameters, records, kind, dsn, text):
    parameters(proxy_interfaces="192.0.2.25")
    names("other.example", "A", "192.0.2.1")
    for name, record, value in records:
        names(name, record, value)
    if any(value == "10 Mail.benet.com" for _, _, value in records):
        names("Mail.benet.com", "A", "192.0.2.1")
    assert send("far.example") == [("a@far.example", kind, dsn)]
    assert text in send.said


def test_name_servers_that_do_not_know_now(send, parameters):
    parameters(dns_timeout="1", dns_servers="127.0.0.1:9")  # nobody answers there
    assert send("far.example") == [("a@far.example", "deferred", "4.4.3")]


def test_a_backup_mx_passes_mail_to_better_hosts_only(send, far, names):
    host = far(RCPT=b"450 4.2.0 later\r\n")
    names("far.example", "MX", "10 best.far.example", "20 mail.benet.com", "30 worst.far.example")
    names("best.far.example", "A", "127.0.0.1")
    names("mail.benet.com", "A", "127.0.0.1")
    names("worst.far.example", "A", "127.0.0.1")
    assert send(f"far.example:{host.port}") == [("a@far.example", "deferred", "4.2.0")]
    assert host.connections == 1


def test_who_is_told_to_wait_by_one_host_is_tried_at_the_next(send, far, names):
    class Moody(FarHost):
        """The first conversation is greylisted."""

        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            if verb == "RCPT" and self.connections == 1:
                connection.sendall(b"450 4.2.0 later\r\n")
                return True
            return super().answer(connection, verb, command)

    host = far(Moody)
    names("far.example", "MX", "10 a.far.example", "20 b.far.example")
    names("a.far.example", "A", "127.0.0.1")
    names("b.far.example", "A", "127.0.0.1")
    assert send(f"far.example:{host.port}") == [("a@far.example", "delivered", "2.0.0")]
    assert host.connections == 2


def test_a_message_that_may_have_arrived_is_not_given_to_another_host(send, far, names):
    host = far(dot=HANG_UP)
    names("far.example", "MX", "10 a.far.example", "20 b.far.example")
    names("a.far.example", "A", "127.0.0.1")
    names("b.far.example", "A", "127.0.0.1")
    assert send(f"far.example:{host.port}") == [("a@far.example", "deferred", "4.4.2")]
    assert len(host.messages) == 1
