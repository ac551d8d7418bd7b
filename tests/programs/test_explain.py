"""explain says what SMTP would say, and why; recall gives a message that waits back to its owner."""

import json
import time

import pytest

from mailcore.models import Account, Queued
from mailcore.mta.policy.explain import explain_delivery, trace_destinations
from mailcore.mta.queue import enqueue
from mailcore.store import directory
from mailcore.store.settings import lookup_tables
from mailcore.values import Client, MessageRecipient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def defaults(benet, parameters) -> None:
    parameters(
        mynetworks="",
        smtpd_relay_restrictions="permit_mynetworks permit_sasl_authenticated reject_unauth_destination",
        smtpd_peername_lookup="no",
    )


def test_every_step_and_the_way(run):
    directory.create_alias("team@benet.com", ["all@benet.com", "far@other.example"])
    result = run("explain", "--client", "192.0.2.7", "--sender", "a@other.example", "--recipient", "team@benet.com")
    assert result.status == 0
    assert (
        result.out
        == """\
smtpd_sender_restrictions
  reject_authenticated_sender_login_mismatch   dunno
smtpd_relay_restrictions
  permit_mynetworks                            dunno
  permit_sasl_authenticated                    dunno
  reject_unauth_destination                    dunno
reply: 250 2.1.5 Ok
destination:
  team@benet.com: alias
    all@benet.com: alias
      xiaoqi@benet.com: mailbox → xiaoqi@benet.com (has space)
      lisi@benet.com: mailbox → lisi@benet.com (has space)
    far@other.example: remote → other.example
"""
    )


def test_a_refusal(run):
    result = run("explain", "--client", "192.0.2.7", "--sender", "", "--recipient", "a@far.example")
    assert result.status == 1
    assert (
        "  reject_unauth_destination                    554 5.7.1 <a@far.example>: Relay access denied\n" in result.out
    )
    assert "reply: 554 5.7.1 <a@far.example>: Relay access denied\n" in result.out


def test_whose_address(run):
    result = run(
        *("explain", "--client", "192.0.2.7", "--sasl", "lisi@benet.com", "--sender", "xiaoqi@benet.com"),
        *("--recipient", "a@far.example", "--json"),
    )
    assert result.status == 1
    plain = json.loads(result.out)
    assert plain["reply"].startswith("553 5.7.1 <xiaoqi@benet.com>")
    assert plain["steps"][-1]["restriction"] == "reject_authenticated_sender_login_mismatch"


def test_what_tables_would_do(parameters, run):
    lookup_tables.replace_entries("senders", {"other.example": "strict", "a@other.example": "HOLD please"})
    parameters(
        smtpd_restriction_classes="strict",
        strict="reject_non_fqdn_helo_hostname",
        smtpd_recipient_restrictions="check_sender_access hash:senders",
    )
    held = explain_delivery("192.0.2.7", "a@other.example", "lisi@benet.com")
    assert held.accepted
    strict = explain_delivery("192.0.2.7", "b@other.example", "lisi@benet.com", helo="x")
    assert [(step.parameter, step.depth) for step in strict.steps][-3:] == [
        ("smtpd_recipient_restrictions", 0),
        ("hash:senders", 1),
        ("strict", 2),
    ]
    assert strict.reply.code == 504


def test_a_full_mailbox_and_one_that_is_not_there():
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=10, used_bytes=10)
    full = explain_delivery("192.0.2.7", "a@other.example", "lisi@benet.com", size=100)
    assert (full.accepted, full.reply.enhanced) == (False, "5.2.2")
    assert full.tree is not None
    assert full.tree.quota is not None
    assert trace_destinations("nobody@benet.com").kind == "refused"


def test_it_writes_nothing_into_the_log(settings, run):
    run("explain", "--client", "192.0.2.7", "--sender", "", "--recipient", "a@far.example")
    log = settings.LOG_ROOT / "maillog"
    assert not log.exists() or "reject" not in log.read_text()


@pytest.mark.parametrize("wrong", [["--recipient", "a b"], ["--recipient", "a@b.example", "--sender", "@"]])
def test_what_is_no_address(run, wrong):
    result = run("explain", "--client", "192.0.2.7", "--sender", "", *wrong)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("explain: fatal: ")


# --- recall ---------------------------------------------------------------------------------------


def test_a_message_is_called_back(run):
    later = int((time.time() + 3600) * 1e6)
    message = enqueue.write_and_enqueue(
        b"Subject: later\r\n\r\nx\r\n", "lisi@benet.com", [MessageRecipient("a@far.example")],
        Client("192.0.2.7", login="lisi@benet.com"), later, due_us=later,
    )  # fmt: skip
    listed = run("recall", "-u", "lisi@benet.com")
    assert listed.out.split()[0] == message.queue_id
    assert listed.out.endswith("  a@far.example\n")
    assert run("recall", "-u", "xiaoqi@benet.com").out == ""
    refused = run("recall", "-u", "xiaoqi@benet.com", message.queue_id)
    assert (refused.status, refused.err) == (
        1,
        f"recall: fatal: {message.queue_id}: no scheduled message of xiaoqi@benet.com\n",
    )
    assert run("recall", "-u", "lisi@benet.com", message.queue_id).status == 0
    assert Queued.objects.get().state == "done"
