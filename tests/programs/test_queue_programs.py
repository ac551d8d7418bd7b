"""postqueue, mailq and postsuper: what they print, what they do, how they end."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailcore.models import Queued, Recipient
from mailcore.mta.queue import content_files, queue_listing, states
from mailcore.mta.queue.claim import DeliveryResult
from mailcore.values import Expanded, deferred_outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def put_off(reason: str = "connect to other.example[192.0.2.9]:25: Connection refused") -> None:
    """Everything due has been tried once, in vain."""
    claims = states.claim_due("anna", 100)
    states.record_results(
        "anna", [DeliveryResult(c, [(d, deferred_outcome("4.4.1", reason)) for d in c.pending]) for c in claims]
    )


def test_an_empty_queue(benet, run):
    assert run("postqueue", "-p") == run("mailq")
    assert run("mailq").out == "Mail queue is empty\n"
    assert run("postqueue", "-j").out == ""


def test_the_listing(post, run):
    first = post("lisi", "xiaoqi")
    put_off()
    post("all", sender="")
    held = post("lisi", sender="someone.with.a.long.name@subdomain.of.other.example")
    states.hold([held.id])
    bounce = Queued.objects.get(sender="")
    arrived = [f"{time.asctime(time.localtime(row.received_us // 10**6)):20.20}" for row in (bounce, first, held)]
    assert run("postqueue", "-p").out == (
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        f"{bounce.id:X} {first.size:7} {arrived[0]} MAILER-DAEMON\n"
        "                                         all@benet.com\n"
        "\n"
        f"{first.id:X} {first.size:7} {arrived[1]} a@other.example\n"
        "                  (connect to other.example[192.0.2.9]:25: Connection refused)\n"
        "                                         lisi@benet.com\n"
        "                                         xiaoqi@benet.com\n"
        "\n"
        f"{held.id:X}! {first.size:7} {arrived[2]} someone.with.a.long.name@subdomain.of.other.example\n"
        "                                         lisi@benet.com\n"
        "\n"
        "-- 0 Kbytes in 3 Requests.\n"
    )


def test_one_request_is_one_request(post, run):
    post("lisi")
    assert run("mailq").lines[-1] == "-- 0 Kbytes in 1 Request."


def test_json(post, run):
    message = post("all")
    [claim] = states.claim_due("anna", 1)
    states.replace_with_targets([(claim, claim.pending[0], Expanded(("lisi@benet.com",)))])
    data = json.loads(run("postqueue", "-j").out)
    assert data == {
        "queue_name": "active",
        "queue_id": message.queue_id,
        "arrival_time": message.received_us // 1_000_000,
        "message_size": message.size,
        "forced_expire": False,
        "sender": "a@other.example",
        "recipients": [{"address": "lisi@benet.com", "orig_address": "all@benet.com"}],
    }
    assert run("mailq").lines[1].startswith(f"{message.queue_id}* ")


def test_corrupt_messages_are_shown_apart(post, run):
    message = post("lisi")
    states.claim_due("anna", 1)
    states.mark_corrupt("anna", message.id)
    listed = run("postqueue", "-p")
    assert listed.out == "Mail queue is empty\n"
    assert "1 messages are corrupt" in listed.err
    assert message.queue_id in run("postqueue", "-p", "--corrupt").out


def test_a_long_queue_is_read_in_pieces(post, run):
    """The first line comes after one page, and no page is skipped or shown twice."""
    post("lisi")
    sample = Queued.objects.get()
    for number in range(1, 120):
        Queued.objects.create(id=sample.id + number, received_us=1, due_us=sample.due_us, size=1)
    with CaptureQueriesContext(connection) as queries:
        entries = queue_listing.list_entries(("incoming",))
        first = next(entries)
    assert len(queries) == 2
    assert sorted([first.id, *(entry.id for entry in entries)]) == [sample.id + number for number in range(120)]


def test_flushing_makes_deferred_messages_due_and_leaves_held_ones(post, run):
    one, other, held = post("lisi"), post("a@remote.example"), post("lisi")
    states.hold([held.id])
    put_off()
    assert states.claim_due("bob", 10) == []
    assert run("postqueue", "-i", one.queue_id).status == 0
    assert [claim.id for claim in states.claim_due("bob", 10)] == [one.id]
    assert run("postqueue", "-s", "Remote.Example").status == 0
    assert [claim.id for claim in states.claim_due("bob", 10)] == [other.id]
    states.release_claims("bob")
    put_off()
    assert run("postqueue", "-f").status == 0
    assert {claim.id for claim in states.claim_due("bob", 10)} == {one.id, other.id}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage"),
        (("-Z",), "usage"),
        (("-i", "zz!"), 'fatal: Cannot flush queue ID - invalid name: "zz!"'),
        (("-s", "b ad"), 'fatal: Cannot flush mail queue - invalid destination: "b ad"'),
    ],
)
def test_what_postqueue_refuses(benet, run, arguments, message):
    ran = run("postqueue", *arguments)
    assert ran.status == os.EX_UNAVAILABLE
    assert message in ran.err


def state_of(queued_id: int) -> str:
    return Queued.objects.get(id=queued_id).state


def test_hold_release_delete_by_id(post, run):
    message = post("lisi")
    held = run("postsuper", "-h", message.queue_id)
    assert held.err == f"postsuper: {message.queue_id}: placed on hold\npostsuper: Placed on hold: 1 message\n"
    assert state_of(message.id) == "hold"
    assert run("postsuper", "-h", message.queue_id).err == "postsuper: Placed on hold: 0 messages\n"
    released = run("postsuper", "-H", message.queue_id)
    assert released.err == (
        f"postsuper: {message.queue_id}: released from hold\npostsuper: Released from hold: 1 message\n"
    )
    assert state_of(message.id) == "deferred"
    deleted = run("postsuper", "-d", message.queue_id)
    assert deleted.err == f"postsuper: {message.queue_id}: removed\npostsuper: Deleted: 1 message\n"
    assert state_of(message.id) == "done"
    log = (settings.LOG_ROOT / "maillog").read_text()
    assert f"youju/postsuper[{os.getpid()}]: {message.queue_id}: placed on hold\n" in log


def test_requeue(post, run):
    message = post("lisi")
    ran = run("postsuper", "-r", message.queue_id)
    assert ran.err == f"postsuper: {message.queue_id}: requeued\npostsuper: Requeued: 1 message\n"
    [again] = Queued.objects.exclude(state="done")
    assert (again.state, again.id != message.id) == ("incoming", True)


def test_requeue_leaves_alone_what_a_courier_holds(post, run):
    message = post("lisi")
    states.claim_due("anna", 1)
    assert run("postsuper", "-r", message.queue_id).err == "postsuper: Requeued: 0 messages\n"
    assert state_of(message.id) == "active"


def test_a_message_whose_content_is_gone_cannot_be_requeued(post, run):
    message = post("lisi")
    os.unlink(content_files.content_path(message.id))
    assert run("postsuper", "-r", "ALL").err == "postsuper: Requeued: 0 messages\n"
    assert state_of(message.id) == "incoming"


def test_all_of_some_queues(post, run):
    waiting, held = post("lisi"), post("lisi")
    states.hold([held.id])
    assert run("postsuper", "-d", "ALL", "deferred").err == "postsuper: Deleted: 0 messages\n"
    assert run("postsuper", "-d", "ALL", "hold").err == "postsuper: Deleted: 1 message\n"
    assert (state_of(waiting.id), state_of(held.id)) == ("incoming", "done")


def test_several_actions_in_one_call(post, run):
    one, other = post("lisi"), post("lisi")
    ran = run("postsuper", "-d", one.queue_id, "-r", "ALL")
    assert ran.err.endswith("postsuper: Requeued: 1 message\npostsuper: Deleted: 1 message\n") or ran.err.endswith(
        "postsuper: Requeued: 2 messages\npostsuper: Deleted: 0 messages\n"
    )
    assert state_of(other.id) == "done"


def test_ids_from_standard_input(post, run):
    ids = [post("lisi").queue_id for _ in range(3)]
    ran = run("postsuper", "-d", "-", stdin="\n".join([*ids[:2], "zz!", ""]))
    assert ran.err == (
        f"postsuper: {ids[0]}: removed\npostsuper: {ids[1]}: removed\n"
        "postsuper: warning: invalid mail queue id: zz!\npostsuper: Deleted: 2 messages\n"
    )
    assert Recipient.objects.filter(state="waiting").count() == 1


def test_deleting_all_spares_what_cannot_be_read(post, run):
    message = post("lisi")
    states.claim_due("anna", 1)
    states.mark_corrupt("anna", message.id)
    run("postsuper", "-d", "ALL")
    assert state_of(message.id) == "corrupt"
    run("postsuper", "-d", "ALL", "corrupt")
    assert state_of(message.id) == "done"


@pytest.mark.parametrize("arguments", [(), ("ALL",), ("-h", "ALL", "badq"), ("-Z",)])
def test_what_postsuper_refuses(benet, run, arguments):
    assert run("postsuper", *arguments).status == 1


def test_a_reader_of_the_first_line_alone_causes_no_error(tmp_path):
    """As a shell runs it, with its standard output closed early."""
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/x.sqlite3"}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True, timeout=100)
    program = subprocess.Popen([*manage, "mailq"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.close()
    assert program.wait(60) == 0
    assert program.stderr.read() == b""


@pytest.mark.program
def test_the_same_refusals_as_postfix(benet, run, postfix):
    for name, *arguments in (
        ("postqueue", "-i", "zz!"),
        ("postqueue", "-s", "b ad"),
        ("postqueue",),
        ("postsuper", "-h", "ALL", "badq"),
        ("postsuper", "-d", "zz!"),
    ):
        ours, theirs = run(name, *arguments), postfix(name, *arguments)
        assert ours.status == theirs.status, (name, *arguments)
        if "usage" not in theirs.err:
            assert _without_path(ours.err) == _without_path(theirs.err)


def _without_path(text: str) -> list[str]:
    return [re.sub(r"^\S*/(?=post)", "", line) for line in text.splitlines()]


@pytest.mark.program
def test_the_same_listing_as_postfix(post, run, running_postfix):
    """The same messages put off for the same reason, here and there; ids and times are each system's own."""
    said = "somebody is not at home"
    body = b"Subject: s\r\n\r\n" + b"x" * 900 + b"\r\n"
    messages = [
        ("a@other.example", ["lisi@benet.com"]),
        ("", ["lisi@benet.com", "xiaoqi@benet.com"]),
        ("someone.with.a.long.name@subdomain.of.other.example", ["x@remote.example", "lisi@benet.com"]),
    ]
    for sender, recipients in messages:
        running_postfix("sendmail", "-i", "-f", sender, *recipients, stdin=body.decode().replace("\r\n", "\n"))
        post(*recipients, sender=sender, content=body)
    put_off(said)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        theirs = running_postfix("postqueue", "-j")
        if theirs.out.count(said) == 5 and '"queue_name": "active"' not in theirs.out:
            break
    ours = run("postqueue", "-j")
    assert _told(ours.out) == _told(theirs.out)
    assert _shapes(run("postqueue", "-p").out) == _shapes(running_postfix("postqueue", "-p").out)
    for name in ("h", "H", "r"):
        own = [json.loads(line)["queue_id"] for line in run("postqueue", "-j").lines]
        their = [json.loads(line)["queue_id"] for line in running_postfix("postqueue", "-j").lines]
        here, there = run("postsuper", f"-{name}", own[0]), running_postfix("postsuper", f"-{name}", their[0])
        assert here.err.replace(own[0], "ID") == "\n".join(_without_path(there.err.replace(their[0], "ID"))) + "\n"
    assert _shapes(run("postsuper", "-d", "ALL").err) == _shapes("\n".join(
        _without_path(running_postfix("postsuper", "-d", "ALL").err)) + "\n")  # fmt: skip


def _told(listed: str) -> list[dict[str, object]]:
    """Return the queue fields that Postfix and Youju share, by sender."""
    messages = [json.loads(line) for line in listed.splitlines()]
    for message in messages:
        assert re.fullmatch(r"[0-9A-F]{6,16}", message.pop("queue_id"))
        assert abs(message.pop("arrival_time") - time.time()) < 300
        assert message.pop("message_size") > 0
        message["recipients"].sort(key=lambda each: each["address"])
    return sorted(messages, key=lambda message: message["sender"])


def _shapes(listed: str) -> list[str]:
    """Lines with their columns kept and what is each system's own replaced."""
    listed = re.sub(r"^[0-9A-F]{10,13}([ *!])", r"QUEUEID\1", listed, flags=re.MULTILINE)
    listed = re.sub(r" +\d+ (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d ", " SIZE WHEN ", listed)
    return sorted(re.sub(r"\d+ Kbytes", "N Kbytes", listed).splitlines())
