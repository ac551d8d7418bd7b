"""The effect of an account's state on SMTP, submission, IMAP, POP3 and the login page."""

import imaplib
import poplib
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone, translation

from mailcore.models import Account, Domain, Queued, Recipient
from mailcore.mta.delivery import deliver
from mailcore.mta.queue import states
from mailcore.mta.workers.courier import Courier
from mailcore.servers.pop3.session import Pop3Server
from mailcore.store import directory
from mailcore.store.directory import AccountDraft, DomainDraft
from smtp_talk import extended, messages, plain, send
from tests.servers.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = timezone.localdate()
UNKNOWN = "550 5.1.1 "
NOT_ALLOWED = "5"
STATES = [
    # draft, the reply to a stranger at RCPT, is the message in the mailbox, does the password open, may it send
    (AccountDraft(), "250 2.0.0", True, True, True),
    (AccountDraft(state="no-login"), "250 2.0.0", True, False, False),
    (AccountDraft(state="receive-only"), "250 2.0.0", True, True, False),
    (AccountDraft(state="send-only"), "550 5.", False, True, True),
    (AccountDraft(state="hold"), "250 2.0.0", False, True, True),
    (AccountDraft(state="off"), "550 5.", False, False, False),
    (AccountDraft(expires=TODAY), "250 2.0.0", True, True, True),
    (AccountDraft(expires=TODAY - timedelta(days=1)), "550 5.", False, False, False),
]


class Doors:
    """Everything an account of benet.com may be reached by."""

    def __init__(self, mx: int, submission, imap: int, pop3: int) -> None:
        self.mx, self.submission, self.imap, self.pop3 = mx, submission, imap, pop3

    def takes_in(self, name: str = "lisi") -> str:
        """Return the final reply to an outside sender's message, or the first rejection."""
        client = extended(self.mx)
        return send(client, "a@other.example", f"{name}@benet.com")

    def opens(self, name: str = "lisi") -> set[str]:
        """The doors that the password opens."""
        opened = set()
        program = imaplib.IMAP4("127.0.0.1", self.imap)
        try:
            program.login(name, PASSWORD)
            opened.add("imap")
        except imaplib.IMAP4.error:
            pass
        program.shutdown()
        drop = poplib.POP3("127.0.0.1", self.pop3)
        try:
            drop.user(name)
            drop.pass_(PASSWORD)
            opened.add("pop3")
        except poplib.error_proto:
            pass
        drop.close()
        browser = Client()
        browser.post("/login/", {"username": name, "password": PASSWORD})
        if browser.get("/account/").status_code == 200:
            opened.add("web")
        return opened

    def sends(self, name: str = "lisi") -> bool:
        client = extended(self.submission)
        client.say(f"AUTH PLAIN {plain(name, PASSWORD)}")
        if not client.hear().startswith("235"):
            return False
        return send(client, f"{name}@benet.com", "xiaoqi@benet.com").startswith("250")


@pytest.fixture
def doors(smtp, imap, serve, settings) -> Doors:
    pop3 = serve(lambda executor: Pop3Server(executor, None, implicit_tls=False))
    found = Doors(smtp(), smtp("submission"), imap().port, pop3.port)
    settings.WEBMAIL = settings.WEBMAIL | {"IMAP_SERVER": f"127.0.0.1:{found.imap}", "GUEST": False}
    return found


@pytest.mark.parametrize(
    ("draft", "reply", "arrives", "opens", "sends"), STATES, ids=lambda each: getattr(each, "state", "")
)
def test_what_a_state_means(doors, benet, draft, reply, arrives, opens, sends):
    directory.change_account(benet["lisi"], draft)
    assert doors.takes_in().startswith(reply)
    Courier().run_until_idle()
    assert len(messages("lisi")) == arrives
    assert doors.opens() == ({"imap", "pop3", "web"} if opens else set())
    assert doors.sends() is sends


def test_held_mail_waits_and_comes_when_the_account_takes_mail_again(doors, benet):
    directory.change_account(benet["lisi"], AccountDraft(state="hold"))
    assert doors.takes_in("all").startswith("250")
    Courier().run_until_idle()
    assert (len(messages("lisi")), len(messages("xiaoqi"))) == (0, 1)
    assert Queued.objects.get().state == "hold"
    assert Recipient.objects.get(state="waiting").reason == "mailbox is on hold"
    assert deliver.release_held_mailboxes() == 0
    directory.change_account(benet["lisi"], AccountDraft())
    assert deliver.release_held_mailboxes() == 1
    Courier().run_until_idle()
    assert (len(messages("lisi")), len(messages("xiaoqi"))) == (1, 1)


def test_one_held_message_is_let_through(doors, benet):
    directory.change_account(benet["lisi"], AccountDraft(state="hold"))
    for _ in range(2):
        doors.takes_in()
    Courier().run_until_idle()
    first = Queued.objects.order_by("pk").first()
    assert states.release([first.pk]) == 1
    Courier().run_until_idle()
    assert [row.state for row in Queued.objects.order_by("pk")] == ["done", "hold"]
    assert len(messages("lisi")) == 1


def test_held_mail_does_not_grow_too_old(doors, benet, parameters):
    directory.change_account(benet["lisi"], AccountDraft(state="hold"))
    doors.takes_in()
    parameters(maximal_queue_lifetime="0")
    Courier().run_until_idle()
    assert Queued.objects.get().state == "hold"


def test_a_domain_that_is_switched_off(doors, benet):
    directory.change_domain(Domain.objects.get().pk, DomainDraft(active=False))
    assert doors.takes_in()[0] == NOT_ALLOWED
    assert doors.opens("lisi@benet.com") == set()
    assert not doors.sends("lisi@benet.com")


def test_catch_all_plus_address_and_limits_of_the_domain(doors, benet):
    assert doors.takes_in("lisi+books").startswith("250")
    assert doors.takes_in("nobody").startswith(UNKNOWN)
    domain = Domain.objects.get()
    directory.change_domain(domain.pk, DomainDraft(catch_all="xiaoqi", account_quota_messages=2, max_accounts=2))
    assert doors.takes_in("nobody").startswith("250")
    assert doors.takes_in("lisi").startswith("250")
    Courier().run_until_idle()
    assert (len(messages("lisi")), len(messages("xiaoqi"))) == (2, 1)
    assert doors.takes_in("lisi").startswith("452 4.2.2")  # as many messages as the domain lets an account have
    with translation.override("en"), pytest.raises(directory.DirectoryError, match="has reached its limit of accounts"):
        directory.create_account("one@benet.com", "seven hutongs")
    directory.change_account(Account.objects.get(local_part="lisi").pk, AccountDraft(quota_messages=5))
    assert doors.takes_in("lisi").startswith("250")
