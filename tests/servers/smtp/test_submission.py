"""Submission: missing headers, delayed release, and sender addresses."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from mailcore.models import Account, Queued, Recipient
from mailcore.mta.queue import queue_listing, recall
from mailcore.mta.workers.courier import Courier
from mailcore.store.settings import lookup_tables
from smtp_talk import extended, greeted, messages, offered, send, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


def test_nobody_sends_as_somebody_else(smtp):
    client = signed_in(smtp("submission"))
    reply = send(client, "xiaoqi@benet.com", "a@other.example")
    assert reply == "553 5.7.1 <xiaoqi@benet.com>: Sender address rejected: not owned by user lisi@benet.com"
    client.talk("C: RSET\nS: 250 2.0.0 Ok")
    assert send(client, "lisi+x@benet.com", "a@other.example").startswith("250 2.0.0")


@pytest.mark.parametrize(
    ("content", "begins", "has"),
    [
        ("Subject: s\r\n\r\nx\r\n", "Subject: s\r\n", ["From: lisi@benet.com", "Date: ", "Message-ID: <"]),
        ("Subject: s\r\n", "Subject: s\r\n", ["From: lisi@benet.com", "Date: ", "Message-ID: <"]),
        ("no header\r\n", "From: ", ["Date: ", "Message-ID: <", "\r\n\r\nno header\r\n"]),
        ("\r\nx\r\n", "From: ", ["\r\n\r\nx\r\n"]),
        ("", "From: ", ["Date: "]),
        (
            "FROM: lisi@benet.com\r\ndate: now\r\nmessage-id: <1>\r\n\r\nx\r\n",
            "FROM: lisi@benet.com\r\ndate: now\r\nmessage-id: <1>\r\n\r\nx",
            [],
        ),
        ("Subject: a\r\n From: b\r\n\r\nDate: c\r\n", "Subject: a\r\n From: b\r\nFrom: lisi@benet.com\r\nDate: ", []),
    ],
)
def test_headers_that_are_missing(smtp, content, begins, has):
    client = signed_in(smtp("submission"))
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com", content).startswith("250")
    Courier().run_until_idle()
    [message] = messages("xiaoqi")
    _received, _, rest = message.decode().partition("; ")
    own = rest.partition("\r\n")[2]
    assert own.startswith(begins)
    assert all(text in own for text in has)
    assert own.lower().count("\r\n\r\n") <= 1


FORGED = "From: Headmaster <admin@benet.com>\r\nSubject: s\r\nDate: now\r\nMessage-ID: <1@x>\r\n"


@pytest.mark.parametrize("end", ["\r\nx\r\n", ""], ids=["body", "header only"])
@pytest.mark.parametrize("forged", [FORGED, "Sender: admin@benet.com\r\n" + FORGED], ids=["From", "Sender"])
def test_from_of_another_gets_a_sender_field(smtp, forged, end):
    client = signed_in(smtp("submission"))
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com", forged + end).startswith("250")
    Courier().run_until_idle()
    [message] = messages("xiaoqi")
    assert f"\r\n{FORGED}Sender: lisi@benet.com\r\n{end}" in message.decode() + ("" if end else "\r\n")
    assert message.count(b"Sender:") == 1


def test_from_of_another_is_rejected_where_so_configured(smtp, parameters):
    running = smtp("submission")
    parameters(submission_from_check="reject")
    client = signed_in(running)
    for content in (FORGED + "\r\nx\r\n", FORGED, "Subject: s\r\n" * 3000 + FORGED + "\r\nx\r\n"):
        assert send(client, "lisi@benet.com", "xiaoqi@benet.com", content) == (
            "553 5.7.1 <admin@benet.com>: Sender address rejected: not owned by user lisi@benet.com (in the From field)"
        )
    client.talk(
        f"C: MAIL FROM:<lisi@benet.com>\nS: 250 …\nC: RCPT TO:<xiaoqi@benet.com>\nS: 250 …\nC: BDAT {len(FORGED)} LAST"
    )
    client.send(FORGED.encode())
    assert client.hear().startswith("553 5.7.1 <admin@benet.com>")
    assert not Queued.objects.exists()
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com").startswith("250")


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
def test_from_of_strangers_is_theirs(smtp, service):
    client = extended(smtp(service), "LHLO" if service == "lmtp" else "EHLO")
    assert send(client, "a@other.example", "xiaoqi@benet.com", FORGED + "\r\nx\r\n").startswith("250")
    Courier().run_until_idle()
    assert b"Sender:" not in messages("xiaoqi")[0]


def test_login_on_port_25_is_a_submission_too(smtp):
    client = signed_in(smtp())
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com", FORGED + "\r\nx\r\n").startswith("250")
    Courier().run_until_idle()
    assert b"\r\nSender: lisi@benet.com\r\n" in messages("xiaoqi")[0]


def test_strangers_messages_stay_as_they_are(smtp):
    assert send(greeted(smtp()), "a@other.example", "xiaoqi@benet.com", "no header\r\n").startswith("250")
    Courier().run_until_idle()
    assert messages("xiaoqi")[0].endswith(b")\r\nno header\r\n")


def test_a_message_id_of_ours_is_logged_and_found(smtp):
    client = signed_in(smtp("submission"))
    send(client, "lisi@benet.com", "a@other.example")
    assert Queued.objects.get().message_id.endswith("@mail.benet.com")


# --- FUTURERELEASE (RFC 4865) ---------------------------------------------------------------------


def test_it_is_offered_to_submitters_only(smtp):
    [words] = [word for word in offered(extended(smtp("submission"))) if word.startswith("FUTURERELEASE")]
    _, interval, latest = words.split()
    assert interval == "2592000"
    assert abs(datetime.fromisoformat(latest) - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert not any("FUTURERELEASE" in word for word in offered(extended(smtp())))


@pytest.mark.parametrize(
    ("parameter", "reply"),
    [
        ("HOLDFOR=60", "250 2.1.0 Ok"),
        ("HOLDUNTIL=2020-01-01T00:00:00Z", "250 2.1.0 Ok"),
        ("HOLDUNTIL=2999-01-01T00:00:00+08:00", "501 5.5.4 Error: HOLDUNTIL is more than 2592000 seconds ahead"),
        ("HOLDFOR=2592001", "501 5.5.4 Error: HOLDFOR is more than 2592000 seconds ahead"),
        ("HOLDFOR=-1", "501 5.5.4 Bad HOLDFOR parameter syntax"),
        ("HOLDFOR=soon", "501 5.5.4 Bad HOLDFOR parameter syntax"),
        ("HOLDUNTIL=tomorrow", "501 5.5.4 Bad HOLDUNTIL parameter syntax"),
        ("HOLDUNTIL=2030-02-30T00:00:00Z", "501 5.5.4 Bad HOLDUNTIL parameter syntax"),
        ("HOLDFOR=60 HOLDUNTIL=2030-01-01T00:00:00Z", "501 5.5.4 Bad HOLDFOR parameter syntax"),
    ],
)
def test_how_long_it_may_be(smtp, parameter, reply):
    signed_in(smtp("submission")).talk(f"C: MAIL FROM:<lisi@benet.com> {parameter}\nS: {reply}")


def test_strangers_and_those_who_were_told_not_to_keep_nothing_back(smtp, parameters):
    extended(smtp()).talk("C: MAIL FROM:<a@b.example> HOLDFOR=60\nS: 555 5.5.4 Unsupported option: HOLDFOR")
    parameters(smtpd_future_release_limit="0")
    client = signed_in(smtp("submission"))
    client.talk("C: MAIL FROM:<lisi@benet.com> HOLDFOR=60\nS: 555 5.5.4 Unsupported option: HOLDFOR")


def kept_back(client, seconds: int = 3600) -> str:
    """The queue id of a message to xiaoqi that waits."""
    client.talk(f"""
        C: MAIL FROM:<lisi@benet.com> HOLDFOR={seconds}
        S: 250 2.1.0 Ok
        C: RCPT TO:<xiaoqi@benet.com>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 …
        C: Subject: later
        C: .
    """)
    return client.hear().rsplit(" ", 1)[1]


@pytest.mark.database
def test_a_message_waits_until_its_time(smtp):
    queue_id = kept_back(signed_in(smtp("submission")))
    Courier().run_until_idle()
    assert messages("xiaoqi") == []
    [entry] = queue_listing.list_entries(("incoming",))
    assert entry.queue_id == queue_id
    assert entry.recipients[0].reason.startswith("scheduled by its sender for ")
    row = Queued.objects.get()
    assert abs(row.due_us / 1e6 - time.time() - 3600) < 60
    Queued.objects.update(due_us=int(time.time() * 1e6))
    Courier().run_until_idle()
    assert len(messages("xiaoqi")) == 1


@pytest.mark.database
def test_its_owner_calls_it_back(smtp):
    queue_id = kept_back(signed_in(smtp("submission")))
    [kept] = recall.list_scheduled("lisi@benet.com")
    assert (kept.queue_id, kept.recipients) == (queue_id, ("xiaoqi@benet.com",))
    assert list(recall.list_scheduled("xiaoqi@benet.com")) == []
    assert recall.recall(queue_id, "xiaoqi@benet.com") is None
    content = recall.recall(queue_id, "LISI@benet.com")
    assert content is not None
    assert content.startswith(b"Received: ")
    assert b"\r\nSubject: later\r\n" in content
    assert recall.recall(queue_id, "lisi@benet.com") is None
    assert Queued.objects.get().state == "done"
    assert Recipient.objects.get().state == "removed"


@pytest.mark.database
def test_nobody_calls_back_what_is_on_its_way(smtp):
    queue_id = kept_back(signed_in(smtp("submission")))
    Queued.objects.update(due_us=0)
    assert recall.recall(queue_id, "lisi@benet.com") is None
    assert recall.recall("no id", "lisi@benet.com") is None


# --- What tables asked for ------------------------------------------------------------------------


@pytest.fixture
def table(parameters):
    def fill(value: str, where: str = "smtpd_recipient_restrictions") -> None:
        lookup_tables.replace_entries("senders", {"a@other.example": value})
        parameters(**{where: "check_sender_access hash:senders"})

    return fill


@pytest.mark.parametrize("where", ["smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions"])  # fmt: skip
def test_messages_that_go_elsewhere(smtp, table, where):
    running = smtp()
    table("REDIRECT xiaoqi@benet.com", where)
    assert send(greeted(running), "a@other.example", "lisi@benet.com").startswith("250")
    table("BCC xiaoqi@benet.com", where)
    assert send(greeted(running), "a@other.example", "lisi@benet.com").startswith("250")
    table("DISCARD", where)
    assert send(greeted(running), "a@other.example", "lisi@benet.com").startswith("250 2.0.0 Ok: queued as ")
    Courier().run_until_idle()
    assert (len(messages("lisi")), len(messages("xiaoqi"))) == (1, 2)
    assert b"Delivered-To: xiaoqi@benet.com\r\n" in messages("xiaoqi")[0]
    assert b"X-Original-To: lisi@benet.com\r\n" in messages("xiaoqi")[0]


def test_messages_that_are_held(smtp, table):
    running = smtp()
    table("HOLD")
    assert send(greeted(running), "a@other.example", "lisi@benet.com").startswith("250")
    assert Queued.objects.get().state == "hold"


def test_headers_of_a_table(smtp, table):
    running = smtp()
    table("PREPEND X-Seen: yes")
    send(greeted(running), "a@other.example", "lisi@benet.com")
    Courier().run_until_idle()
    assert b"\r\nX-Seen: yes\r\nReceived: " in messages("lisi")[0]


@pytest.mark.parametrize("where", ["smtpd_data_restrictions", "smtpd_end_of_data_restrictions"])
def test_late_refusals(smtp, table, where):
    running = smtp()
    table("REJECT too late", where)
    reply = "554 5.7.1 <a@other.example>: Sender address rejected: too late"
    client = greeted(running)
    assert send(client, "a@other.example", "lisi@benet.com") == reply
    client.talk("C: NOOP\nS: 250 2.0.0 Ok")
    assert not Queued.objects.exists()


def test_lmtp_answers_for_those_it_accepted_wherever_the_message_goes(smtp, table):
    running = smtp("lmtp")
    table("REDIRECT xiaoqi@benet.com")
    client = extended(running, "LHLO")
    client.talk("""
        C: MAIL FROM:<a@other.example>
        S: 250 …
        C: RCPT TO:<lisi@benet.com>
        S: 250 …
        C: RCPT TO:<all@benet.com>
        S: 250 …
        C: DATA
        S: 354 …
        C: .
        S: 250 2.0.0 Ok: queued as …
        S: 250 2.0.0 Ok: queued as …
        C: NOOP
        S: 250 2.0.0 Ok
    """)


def test_a_client_refused_at_once(smtp, parameters):
    running = smtp()
    lookup_tables.replace_entries("clients", {"127": "REJECT go away"})
    parameters(smtpd_delay_reject="no", smtpd_client_restrictions="check_client_access hash:clients")
    running.dial().talk("""
        S: 554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: go away
        C: EHLO x
        S: 503 5.7.0 Error: access denied for localhost[127.0.0.1]
        C: QUIT
        S: 221 2.0.0 Bye
        S:
    """)


def test_helo_and_sender_refused_at_once(smtp, parameters):
    running = smtp()
    parameters(
        smtpd_delay_reject="no",
        smtpd_helo_restrictions="reject_non_fqdn_helo_hostname",
        smtpd_sender_restrictions="reject_non_fqdn_sender",
    )
    running.dial().talk("""
        S: 220 …
        C: HELO x
        S: 504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname
        C: HELO x.example
        S: 250 mail.benet.com
        C: MAIL FROM:<a>
        S: 504 5.5.2 <a>: Sender address rejected: need fully-qualified address
        C: MAIL FROM:<a@b.example>
        S: 250 2.1.0 Ok
    """)


def test_a_full_mailbox_is_nobodys_when_the_message_goes_elsewhere(smtp, table):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=10, used_bytes=10)
    running = smtp()
    table("REDIRECT xiaoqi@benet.com")
    assert send(greeted(running), "a@other.example", "lisi@benet.com").startswith("250")


# --- ETRN (RFC 1985) ------------------------------------------------------------------------------


def test_etrn(smtp, parameters):
    parameters(relay_domains="inner.example")
    smtp().dial().talk("""
        S: 220 …
        C: ETRN inner.example
        S: 503 Error: send HELO/EHLO first
        C: HELO x
        S: 250 …
        C: ETRN
        S: 500 Syntax: ETRN domain
        C: ETRN in valid
        S: 500 Syntax: ETRN domain
        C: ETRN -
        S: 501 Error: invalid parameter syntax
        C: ETRN other.example
        S: 459 <other.example>: service unavailable
        C: ETRN @inner.example
        S: 250 Queuing started
        C: MAIL FROM:<>
        S: 250 …
        C: ETRN inner.example
        S: 503 Error: MAIL transaction in progress
    """)


def test_etrn_may_be_refused(smtp, parameters):
    lookup_tables.replace_entries("sites", {"inner.example": "REJECT"})
    parameters(relay_domains="inner.example", smtpd_etrn_restrictions="hash:sites")
    greeted(smtp()).talk("C: ETRN inner.example\nS: 554 5.7.1 <inner.example>: Etrn command rejected: Access denied")


def test_etrn_makes_what_waits_due(smtp, parameters):
    parameters(relay_domains="inner.example")
    running = smtp()
    send(greeted(running), "a@other.example", "b@inner.example")
    later = int((time.time() + 3600) * 1e6)
    Queued.objects.update(state="deferred", due_us=later)
    greeted(running).talk("C: ETRN inner.example\nS: 250 Queuing started")
    assert Queued.objects.get().due_us < later
