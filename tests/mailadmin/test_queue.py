"""The queue on the screen: found, looked at, moved; and the story of a message, for whom it concerns."""

import re
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from markup import compact

from mailcore.models import Change, Event, Queued, Recipient
from mailcore.mta.queue import content_files, enqueue
from mailcore.values import Client, MessageRecipient

NOW = int(time.time() * 1_000_000)
HERE = Client("192.0.2.7", "client.example", protocol="ESMTP")


@pytest.fixture
def post(office):
    """`post("a@x", ["b@y"])` puts a message into the queue; its queue id comes back."""
    content_files.make_directories()

    def take_in(sender: str, recipients: list[str], state: str = "incoming", reason: str = "", **more) -> str:
        content = b"Received: from x\r\nSubject: =?utf-8?b?5oql5ZGK?=\r\n\r\nsecret words\r\n"
        wanted = [MessageRecipient(address) for address in recipients]
        message = enqueue.write_and_enqueue(content, sender, wanted, HERE, NOW, **more)
        Queued.objects.filter(pk=message.id).update(state=state)
        Recipient.objects.filter(queued=message.id).update(reason=reason)
        return message.queue_id

    return take_in


def states() -> dict[str, str]:
    return {f"{pk:X}": state for pk, state in Queued.objects.values_list("pk", "state")}


def test_the_list_says_what_waits_and_why(post, visit):
    waiting = post("a@x.example", ["b@far.example"], "deferred", "connect to far.example: Connection refused")
    held = post("", ["lisi@benet.com"], "hold")
    page = visit("ann").get("/admin/queue/").text
    for text in (waiting, held, "a@x.example", "b@far.example", "Connection refused", "MAILER-DAEMON"):
        assert text in page
    page = visit("ann").get("/admin/queue/?state=hold").text
    assert held in page
    assert waiting not in page


@pytest.mark.parametrize("q", ["x.example", "far.exam", "refused"])
def test_searching_by_sender_recipient_or_reason(post, visit, q):
    found = post("a@x.example", ["b@far.example"], "deferred", "Connection refused")
    other = post("c@y.example", ["d@near.example"], "deferred", "mailbox full")
    page = visit("ann").get("/admin/queue/", {"q": q}).text
    assert found in page
    assert other not in page


def test_searching_by_queue_id(post, visit):
    found, other = (post("a@x.example", ["b@far.example"]) for _ in range(2))
    page = visit("ann").get("/admin/queue/", {"q": found.lower()}).text
    assert found in page
    assert other not in page


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("hold", "deferred", "hold"),
        ("release", "hold", "deferred"),
        ("flush", "deferred", "deferred"),
        ("return", "deferred", "done"),
        ("return", "hold", "done"),
        ("return", "corrupt", "corrupt"),
        ("delete", "deferred", "done"),
        ("requeue", "hold", "done"),
        ("release", "deferred", "deferred"),
    ],
)
def test_one_message_is_moved(post, visit, action, before, after):
    chosen, other = (post("a@x.example", ["b@far.example"], before) for _ in range(2))
    data = {"action": action, "id": str(int(chosen, 16)), "sure": "1"}
    assert visit("ann").post("/admin/queue/act", data).status_code == 302
    assert states()[chosen] == after
    assert states()[other] == before
    assert len(states()) == (3 if after == "done" and action in ("requeue", "return") else 2)


def test_who_sent_a_message_that_is_returned_is_told(post, visit):
    queue_id = post("lisi@benet.com", ["b@far.example"], "deferred", "no route")
    visit("ann").post("/admin/queue/act", {"action": "return", "id": str(int(queue_id, 16)), "sure": "1"})
    [notice] = Queued.objects.filter(sender="", state="incoming")
    assert [row.address for row in notice.recipients.all()] == ["lisi@benet.com"]
    found = content_files.read_header(notice.pk, 0, 10_000).decode()
    assert "returned to sender by the administrator" in found
    assert "5.4.7" in found
    assert not content_files.stored_ids() or int(queue_id, 16) not in set(content_files.stored_ids())


@pytest.mark.parametrize(
    ("action", "words"), [("delete", "deleted permanently"), ("return", "Their senders receive a bounce")]
)
def test_what_cannot_be_taken_back_is_asked_first(post, visit, action, words):
    mine = [post("a@x.example", [f"{n}@far.example"], "deferred") for n in range(3)]
    other = post("a@x.example", ["b@near.example"], "deferred")
    ann = visit("ann")
    page = ann.post("/admin/queue/act", {"action": action, "all": "1", "q": "far.example"})
    assert (page.status_code, page.context["count"]) == (200, 3)
    assert words in page.text
    assert set(states().values()) == {"deferred"}
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', compact(page.text)))
    form.pop("csrfmiddlewaretoken", None)
    ann.post("/admin/queue/act", form | {"action": action})
    assert {states()[each] for each in mine} == {"done"}
    assert states()[other] == "deferred"


def test_all_that_match_are_moved_and_no_others(post, visit):
    mine = [post("a@x.example", [f"{n}@far.example"], "deferred") for n in range(3)]
    other = post("a@x.example", ["b@near.example"], "deferred")
    visit("ann").post("/admin/queue/act", {"action": "delete", "all": "1", "q": "far.example", "sure": "1"})
    assert {states()[each] for each in mine} == {"done"}
    assert states()[other] == "deferred"


@pytest.mark.parametrize("data", [{}, {"action": "explode"}, {"action": "hold", "id": "x"}])
def test_nonsense_moves_nothing(post, visit, data):
    post("a@x.example", ["b@far.example"], "deferred")
    assert visit("ann").post("/admin/queue/act", data).status_code in (302, 404)
    assert set(states().values()) == {"deferred"}


def test_one_message_in_full_but_not_its_text(post, visit):
    queue_id = post("a@x.example", ["b@far.example"], "deferred", "greylisted", message_id="7@x.example")
    page = visit("ann").get(f"/admin/queue/{queue_id}").text
    for text in ("a@x.example", "b@far.example", "greylisted", "7@x.example", "client.example", "192.0.2.7"):
        assert text in page
    assert "secret words" not in page


@pytest.mark.parametrize("queue_id", ["FFFFFFFFFF", "no", "F" * 40])
def test_a_message_that_is_not_there(post, visit, queue_id):
    assert visit("ann").get(f"/admin/queue/{queue_id}").status_code == 404


def test_the_fullest_destination_stands_first(post, visit):
    post("a@x.example", ["1@far.example", "2@far.example"], "deferred", "no route")
    post("a@x.example", ["1@near.example"], "deferred")
    answer = visit("ann").get("/admin/queue/destinations")
    assert answer.context["rows"] == [("far.example", 2, "no route"), ("near.example", 1, "")]


def test_where_is_my_mail(post, visit):
    post("lisi@benet.com", ["b@far.example", "wang@accp.com"], "deferred", message_id="7@benet.com")

    def found(who: str, page: str):
        return visit(who).get(page, {"q": "7@benet.com"}).context["stories"]

    assert [len(found(who, "/admin/tracking")) for who in ("ann", "audrey", "dora")] == [1, 1, 1]
    assert [len(found(who, "/account/tracking")) for who in ("lisi", "wang", "audrey")] == [1, 1, 0]
    Recipient.objects.update(state="delivered", settled_us=NOW + 1)
    # The sender sees what became of it for everybody, a recipient only their own part.
    [mine] = found("lisi", "/account/tracking")
    assert {moment.address for moment in mine.moments} == {"", "b@far.example", "wang@accp.com"}
    [theirs] = found("wang", "/account/tracking")
    assert {moment.address for moment in theirs.moments} == {"", "wang@accp.com"}


def test_what_a_recipient_did_with_it_is_not_for_the_sender(post, visit, office):
    post("lisi@benet.com", ["wang@accp.com"], message_id="9@benet.com")
    Event.objects.create(at_us=NOW, kind="deleted", message_id="9@benet.com", account=office.wang, mailbox="INBOX")
    for who, kinds in (("lisi", {"received"}), ("wang", {"received", "deleted"})):
        [story] = visit(who).get("/account/tracking", {"q": "9@benet.com"}).context["stories"]
        assert {moment.kind for moment in story.moments} == kinds


def test_an_administrator_of_domains_follows_their_messages_only(post, visit):
    post("lisi@benet.com", ["ann@benet.com"], message_id="8@benet.com")
    assert visit("dora").get("/admin/tracking", {"q": "8@benet.com"}).context["stories"] == []


@pytest.mark.parametrize("words", ["报告", "RE: 报告", "[list] 报告"])
def test_a_message_is_found_by_its_subject_which_is_kept_nowhere(post, visit, words):
    found = post("lisi@benet.com", ["b@far.example"], "deferred")
    for page in ("/admin/tracking", "/account/tracking"):
        [result] = visit("lisi" if "account" in page else "ann").get(page, {"q": words}).context["stories"]
        assert result.queue_id == found
    assert visit("ann").get("/admin/tracking", {"q": "告"}).context["stories"] == []
    assert "报告" not in str(Queued.objects.values().get())


def test_messages_are_found_by_time(post, visit):
    first, second = post("a@x.example", ["b@far.example"]), post("c@x.example", ["d@far.example"])
    Queued.objects.filter(pk=int(first, 16)).update(received_us=NOW - 7200 * 1_000_000)
    hour_ago = timezone.localtime() - timedelta(hours=1)
    ann = visit("ann")

    def found(**query: str) -> list[str]:
        return [each.queue_id for each in ann.get("/admin/tracking", query).context["stories"]]

    stamp = hour_ago.strftime("%Y-%m-%dT%H:%M")
    assert found(since=stamp) == [second]
    assert found(until=stamp) == [first]
    assert found(q="a@x.example", since=stamp) == []
    assert found() == []
    assert ann.get("/admin/tracking", {"since": "soon"}).status_code == 400


def test_who_looked_into_an_account_its_owner_can_read(post, visit, office):
    queue_id = post("a@x.example", ["lisi@benet.com"], "deferred")
    ann = visit("ann")
    for _ in range(2):
        ann.get(f"/admin/queue/{queue_id}", REMOTE_ADDR="192.0.2.7")
        ann.get("/admin/tracking", {"q": "lisi@benet.com"})
        ann.get(f"/admin/accounts/{office.lisi.pk}/access")
    visit("dora").get("/admin/tracking", {"q": "lisi@benet.com"})
    visit("lisi").get("/account/tracking", {"q": "lisi@benet.com"})
    looks = Change.objects.filter(action="account.look", subject="lisi@benet.com").order_by("pk")
    assert [(row.by, row.difference["what"][1]) for row in looks] == [
        ("ann@benet.com", f"message:{queue_id}"),
        ("ann@benet.com", "tracking"),
        ("ann@benet.com", "access"),
    ]
    page = visit("lisi").get("/account/activity").text
    assert page.count("Looked up") == 3
    assert f"the message {queue_id}" in page
    assert "what opens the account" in page
    assert "192.0.2.7" in page
