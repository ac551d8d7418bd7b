"""Restriction lists: what each keyword says, and what lists, classes and tables make of it together."""

import dataclasses

import pytest

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Account
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.store import directory
from mailcore.store.directory import DomainDraft
from mailcore.store.settings import lookup_tables
from mailcore.values import Actions, Client

pytestmark = pytest.mark.django_db

STRANGER = Client("192.0.2.7", "mail.other.example", "mail.other.example", "ESMTP", reverse_name="mail.other.example")
NAMELESS = Client("192.0.2.7", "unknown", "there", "ESMTP")
LISI = dataclasses.replace(STRANGER, login="lisi@benet.com")


@pytest.fixture(autouse=True)
def everything_to_here(benet, parameters):
    parameters(mynetworks="", smtpd_relay_restrictions="reject_unauth_destination", smtpd_sender_restrictions="")


def said(client=STRANGER, sender="a@other.example", recipient="lisi@benet.com", **more) -> str:
    return str(accept.check_recipient(RestrictionInput("RCPT", client, sender, recipient, **more)).reply)


ALL_RIGHT = "250 2.1.5 Ok"


@pytest.mark.parametrize(
    ("restriction", "client", "sender", "reply"),
    [
        ("permit", STRANGER, "a@b.example", ALL_RIGHT),
        ("reject", STRANGER, "a@b.example", "554 5.7.1 <lisi@benet.com>: Recipient address rejected: Access denied"),
        ("defer", STRANGER, "a@b.example", "450 4.3.2 <lisi@benet.com>: Recipient address rejected: Try again later"),
        ("defer_if_permit", STRANGER, "a@b.example", "450 4.7.0 <lisi@benet.com>: … defer_if_permit requested"),
        ("defer_if_reject reject", STRANGER, "a@b.example", "450 4.7.0 <lisi@benet.com>: … defer_if_reject requested"),
        ("defer_if_reject", STRANGER, "a@b.example", ALL_RIGHT),
        ("defer_if_permit reject", STRANGER, "a@b.example", "554 5.7.1 <lisi@benet.com>: … Access denied"),
        ("warn_if_reject reject", STRANGER, "a@b.example", ALL_RIGHT),
        ("warn_if_reject reject reject", STRANGER, "a@b.example", "554 5.7.1 …"),
        ("warn_if_reject defer_if_permit", STRANGER, "a@b.example", ALL_RIGHT),
        ("reject_unknown_client_hostname", STRANGER, "a@b.example", ALL_RIGHT),
        (
            "reject_unknown_client_hostname",
            NAMELESS,
            "a@b.example",
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]",
        ),
        ("reject_unknown_client", NAMELESS, "a@b.example", "450 4.7.25 …"),
        (
            "reject_unknown_reverse_client_hostname",
            NAMELESS,
            "a@b.example",
            "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.7]",
        ),
        ("reject_plaintext_session", STRANGER, "a@b.example", "450 4.7.1 Session encryption is required"),
        ("reject_plaintext_session", dataclasses.replace(STRANGER, tls="TLSv1.3 with cipher X"), "", ALL_RIGHT),
        (
            "reject_unauth_pipelining",
            dataclasses.replace(STRANGER, improper=True),
            "",
            "503 5.5.0 <lisi@benet.com>: … Improper use of SMTP command pipelining",
        ),
        ("reject_invalid_helo_hostname", STRANGER, "", ALL_RIGHT),
        (
            "reject_invalid_helo_hostname",
            dataclasses.replace(STRANGER, helo="a b..c"),
            "",
            "501 5.5.2 <a b..c>: Helo command rejected: Invalid name",
        ),
        ("reject_invalid_hostname", dataclasses.replace(STRANGER, helo="[192.0.2.7]"), "", ALL_RIGHT),
        (
            "reject_invalid_helo_hostname",
            dataclasses.replace(STRANGER, helo="[192.0.2]"),
            "",
            "501 5.5.2 <[192.0.2]>: Helo command rejected: invalid ip address",
        ),
        (
            "reject_non_fqdn_helo_hostname",
            NAMELESS,
            "",
            "504 5.5.2 <there>: Helo command rejected: need fully-qualified hostname",
        ),
        ("reject_non_fqdn_sender", STRANGER, "a", "504 5.5.2 <a>: Sender address rejected: need fully-qualified address"),
        ("reject_non_fqdn_sender", STRANGER, "a@b", "504 5.5.2 …"),
        ("reject_non_fqdn_sender", STRANGER, "", ALL_RIGHT),
        ("reject_unlisted_sender", STRANGER, "nobody@benet.com", "550 5.1.0 <nobody@benet.com>: Sender address rejected: …"),
        ("reject_unlisted_sender", STRANGER, "lisi@benet.com", ALL_RIGHT),
        ("reject_multi_recipient_bounce", STRANGER, "", ALL_RIGHT),
        ("permit_mynetworks reject", STRANGER, "a@b.example", "554 5.7.1 …"),
        ("permit_sasl_authenticated reject", LISI, "lisi@benet.com", ALL_RIGHT),
        ("permit_inet_interfaces reject", dataclasses.replace(STRANGER, address="127.0.0.1"), "", ALL_RIGHT),
        ("permit_inet_interfaces reject", STRANGER, "", "554 5.7.1 …"),
        ("permit_auth_destination reject", STRANGER, "", ALL_RIGHT),
        ("permit_tls_all_clientcerts reject", dataclasses.replace(STRANGER, certificate="AB"), "", ALL_RIGHT),
        ("Reject_Unauth_Destination, PERMIT", STRANGER, "", ALL_RIGHT),
    ],
)  # fmt: skip
def test_keywords(parameters, restriction, client, sender, reply, fits):
    parameters(smtpd_recipient_restrictions=restriction)
    assert fits(said(client, sender), reply)


def test_a_bounce_goes_to_one(parameters):
    parameters(smtpd_recipient_restrictions="reject_multi_recipient_bounce")
    assert said(sender="", recipients=1).startswith(["550 5.5.3 <lisi@benet.com>: ", " "][0])


def test_lists_are_asked_in_order_and_the_first_refusal_counts(parameters, fits):
    lookup_tables.replace_entries("clients", {"192.0.2.7": "REJECT client"})
    lookup_tables.replace_entries("helos", {"other.example": "REJECT helo"})
    lookup_tables.replace_entries("senders", {"a@other.example": "REJECT sender"})
    parameters(
        smtpd_client_restrictions="check_client_access hash:clients",
        smtpd_helo_restrictions="check_helo_access hash:helos",
        smtpd_sender_restrictions="hash:senders",
    )
    assert said() == "554 5.7.1 <mail.other.example[192.0.2.7]>: Client host rejected: client"
    lookup_tables.replace_entries("clients", {"192.0.2": "OK"})
    assert said() == "554 5.7.1 <mail.other.example>: Helo command rejected: helo"
    lookup_tables.replace_entries("helos", {})
    assert said() == "554 5.7.1 <a@other.example>: Sender address rejected: sender"
    lookup_tables.replace_entries("senders", {})
    assert said() == ALL_RIGHT


@pytest.mark.parametrize(
    ("value", "reply"),
    [
        ("OK", ALL_RIGHT),
        ("RELAY", ALL_RIGHT),
        ("1234567890", ALL_RIGHT),
        ("DUNNO ignored", "554 5.7.1 …"),
        ("REJECT", "554 5.7.1 <a@other.example>: Sender address rejected: Access denied"),
        ("reject no more of this", "554 5.7.1 <a@other.example>: Sender address rejected: no more of this"),
        ("REJECT 5.1.8 gone", "554 5.1.8 <a@other.example>: Sender address rejected: gone"),
        ("DEFER", "450 4.7.1 <a@other.example>: Sender address rejected: Access denied"),
        ("421 4.7.0 later", "421 4.7.0 <a@other.example>: Sender address rejected: later"),
        ("550 no", "550 5.7.1 <a@other.example>: Sender address rejected: no"),
        ("DEFER_IF_PERMIT", "554 5.7.1 …"),
        ("DEFER_IF_REJECT", "450 4.7.1 <a@other.example>: Sender address rejected: Service unavailable"),
        ("permit_mynetworks, permit", ALL_RIGHT),
        ("ours", "504 5.5.2 <x>: …"),
        ("nonsense", "451 4.3.5 Server configuration error"),
        ("FILTER smtp:elsewhere", "451 4.3.5 Server configuration error"),
        ("check_sender_access hash:senders", "451 4.3.5 Server configuration error"),
        ("", "451 4.3.5 Server configuration error"),
        ("REDIRECT nobody", "451 4.3.5 Server configuration error"),
        ("PREPEND no header", "451 4.3.5 Server configuration error"),
        ("again", "451 4.3.5 Server configuration error"),
    ],
)
def test_what_tables_say(parameters, value, reply, fits):
    lookup_tables.replace_entries("senders", {"other.example": value})
    parameters(
        smtpd_restriction_classes="ours, again",
        ours="reject_non_fqdn_helo_hostname",
        again="again",
        smtpd_recipient_restrictions="check_sender_access hash:senders, reject",
    )
    assert fits(said(dataclasses.replace(STRANGER, helo="x")), reply)


def test_what_tables_ask_to_be_done(parameters):
    lookup_tables.replace_entries(
        "senders",
        {
            "hold@": "HOLD",
            "discard@": "DISCARD",
            "redirect@": "REDIRECT xiaoqi@benet.com",
            "bcc@": "BCC xiaoqi@benet.com",
            "prepend@": "PREPEND X-Seen: yes",
        },
    )
    parameters(smtpd_recipient_restrictions="check_sender_access hash:senders")

    def done(name: str) -> Actions:
        verdict = accept.check_recipient(RestrictionInput("RCPT", STRANGER, f"{name}@other.example", "lisi@benet.com"))
        assert verdict.accepted
        return verdict.actions

    assert done("hold") == Actions(hold=True)
    assert done("discard") == Actions(discard=True)
    assert done("redirect") == Actions(redirect="xiaoqi@benet.com")
    assert done("bcc") == Actions(bcc=("xiaoqi@benet.com",))
    assert done("prepend") == Actions(prepend=("X-Seen: yes",))


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("user+ext@sub.other.example", True),
        ("user@sub.other.example", True),
        ("sub.other.example", True),
        ("other.example", True),
        ("example", True),
        (".other.example", False),
        ("user+ext@", True),
        ("user@", True),
        ("ext@", False),
        ("<>", False),
    ],
)
def test_keys_of_an_address(parameters, key, found):
    lookup_tables.replace_entries("senders", {key: "REJECT"})
    parameters(smtpd_recipient_restrictions="check_sender_access hash:senders")
    assert said(sender="user+ext@sub.other.example").startswith("554") is found


def test_the_order_of_these_keys(parameters):
    """user+ext@dom, user@dom, dom, user+ext@, user@: each beats those after it."""
    keys = ["user+ext@other.example", "user@other.example", "other.example", "example", "user+ext@", "user@"]
    parameters(smtpd_recipient_restrictions="check_sender_access hash:senders")
    for start in range(len(keys)):
        lookup_tables.replace_entries(
            "senders", {key: f"REJECT {number}" for number, key in enumerate(keys) if number >= start}
        )
        assert said(sender="user+ext@other.example").endswith(f"rejected: {start}")


@pytest.mark.parametrize("key", ["<>"])
def test_the_null_sender_has_a_key(parameters, key):
    lookup_tables.replace_entries("senders", {key: "REJECT"})
    parameters(smtpd_recipient_restrictions="check_sender_access hash:senders")
    assert said(sender="") == "554 5.7.1 <>: Sender address rejected: Access denied"


@pytest.mark.parametrize(
    ("address", "key", "found"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2", True),
        ("192.0.2.7", "192", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::7", "2001:db8::7", True),
        ("2001:db8::7", "2001:db8", True),
        ("192.0.2.7", "other.example", True),
        ("192.0.2.7", "mail.other.example", True),
    ],
)
def test_keys_of_a_client(parameters, address, key, found):
    lookup_tables.replace_entries("clients", {key: "REJECT"})
    parameters(smtpd_client_restrictions="check_client_access hash:clients")
    assert said(dataclasses.replace(STRANGER, address=address)).startswith("554") is found


def test_anybody_can_give_his_address_any_name(parameters):
    """An OK for an unverified client name in an access table is ignored."""
    lookup_tables.replace_entries("names", {"friend.example": "OK", "enemy.example": "REJECT"})
    parameters(smtpd_recipient_restrictions="check_reverse_client_hostname_access hash:names, reject")
    assert said(dataclasses.replace(STRANGER, reverse_name="friend.example")).startswith("554 5.7.1 <lisi@benet.com>")
    assert said(dataclasses.replace(STRANGER, reverse_name="enemy.example")).startswith("554 5.7.1 <enemy.example>")


# --- Whose address --------------------------------------------------------------------------------


@pytest.fixture
def people(benet):
    directory.create_domain("benet.example", DomainDraft(kind="alias", target="benet.com"))
    directory.create_alias("sales@benet.com", ["lisi@benet.com"])
    directory.create_alias("xiaoqi.wang@benet.com", ["xiaoqi@benet.com"])
    directory.create_account("robot@benet.com", "correct horse")
    Account.objects.filter(address="robot@benet.com").update(state="send-only")
    caches.clear_all()


@pytest.mark.parametrize(
    ("login", "sender", "own"),
    [
        ("lisi@benet.com", "lisi@benet.com", True),
        ("lisi@benet.com", "LiSi@benet.com", True),
        ("lisi@benet.com", "lisi", True),
        ("lisi@benet.com", "lisi+lists@benet.com", True),
        ("lisi@benet.com", "lisi@benet.example", True),
        ("lisi@benet.com", "sales@benet.com", True),
        ("lisi@benet.com", "", True),
        ("lisi@benet.com", "all@benet.com", False),
        ("lisi@benet.com", "xiaoqi@benet.com", False),
        ("lisi@benet.com", "xiaoqi+lisi@benet.com", False),
        ("lisi@benet.com", "xiaoqi.wang@benet.com", False),
        ("lisi@benet.com", "nobody@benet.com", False),
        ("lisi@benet.com", "lisi@other.example", False),
        ("robot@benet.com", "robot@benet.com", True),
    ],
)
def test_whose_address_a_sender_is(people, parameters, login, sender, own):
    parameters(smtpd_sender_restrictions="reject_sender_login_mismatch")
    client = dataclasses.replace(STRANGER, login=login)
    refusal = f"553 5.7.1 <{sender}>: Sender address rejected: not owned by user {login}"
    assert said(client, sender) == (ALL_RIGHT if own else refusal)


def test_a_stranger_in_our_name(people, parameters):
    parameters(smtpd_sender_restrictions="reject_sender_login_mismatch")
    assert said(sender="lisi@benet.com") == "553 5.7.1 <lisi@benet.com>: Sender address rejected: not logged in"
    assert said(sender="somebody@other.example") == ALL_RIGHT
    parameters(smtpd_sender_restrictions="reject_authenticated_sender_login_mismatch")
    assert said(sender="lisi@benet.com") == ALL_RIGHT


def test_an_account_sends_as_itself_however_it_forwards(people, parameters):
    parameters(smtpd_sender_restrictions="reject_sender_login_mismatch")
    directory.create_alias("lisi@benet.com", ["lisi@benet.com", "lisi@home.example"])
    assert said(LISI, "lisi@benet.com") == ALL_RIGHT


def test_a_table_of_owners(people, parameters):
    lookup_tables.replace_entries(
        "sender_login", {"all@benet.com": "lisi@benet.com, xiaoqi@benet.com", "@shop.example": "lisi@benet.com"}
    )
    parameters(smtpd_sender_restrictions="reject_sender_login_mismatch")
    assert said(LISI, "all@benet.com") == ALL_RIGHT
    assert said(LISI, "anything@shop.example") == ALL_RIGHT
    assert said(dataclasses.replace(LISI, login="xiaoqi@benet.com"), "anything@shop.example").startswith("553")


def test_known_senders_only_are_somebodys(people, parameters):
    parameters(smtpd_sender_restrictions="reject_known_sender_login_mismatch")
    assert said(LISI, "lisi@other.example") == ALL_RIGHT
    assert said(LISI, "xiaoqi@benet.com").startswith("553")


# --- Configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relay", "recipients", "safe"),
    [
        ("reject_unauth_destination", "", True),
        ("", "permit_mynetworks, reject_unauth_destination", True),
        ("permit_mynetworks, defer_unauth_destination", "permit", True),
        ("", "", False),
        ("permit", "permit", False),
        ("permit, reject_unauth_destination", "", False),
        ("warn_if_reject reject_unauth_destination", "", False),
        ("permit_mynetworks", "reject_non_fqdn_sender", False),
        ("check_relay_domains", "", True),
    ],
)
def test_an_open_relay_relays_nothing(parameters, relay, recipients, safe):
    parameters(smtpd_relay_restrictions=relay, smtpd_recipient_restrictions=recipients)
    assert conf.rejects_open_relay() is safe
    if not safe:
        assert said() == "451 4.3.5 Server configuration error"


def test_a_mistake_is_said_when_it_is_made():
    with pytest.raises(ValueError, match='smtpd_helo_restrictions: unknown smtpd restriction: "reject_everything"'):
        conf.set_value("smtpd_helo_restrictions", "reject_everything")
    with pytest.raises(ValueError, match="must be followed by a table"):
        conf.set_value("smtpd_sender_restrictions", "check_sender_access, reject")
    with pytest.raises(ValueError, match="must be followed by transport:server"):
        conf.set_value("smtpd_sender_restrictions", "check_policy_service here")


def test_a_mistake_that_is_there_all_the_same_defers_everything(parameters):
    parameters(smtpd_helo_restrictions="reject_everything")
    assert said() == "451 4.3.5 Server configuration error"
    assert "smtpd_helo_restrictions" in conf.problems()


def test_an_open_relay_cannot_be_set(monkeypatch):
    for name in ("relay", "recipient", "sender"):
        monkeypatch.delenv(f"MAIL_SMTPD_{name.upper()}_RESTRICTIONS", raising=False)
    with pytest.raises(ValueError, match="open relay"):
        conf.change({"smtpd_relay_restrictions": "permit_mynetworks", "smtpd_recipient_restrictions": ""})


def test_classes_are_parameters(monkeypatch):
    conf.change({"smtpd_restriction_classes": "strict", "strict": "reject_non_fqdn_sender"})
    assert conf.current().restriction_classes == {"strict": ("reject_non_fqdn_sender",)}
    with pytest.raises(ValueError, match="strict: unknown"):
        conf.change({"strict": "whatever"})
    with pytest.raises(KeyError):
        conf.change({"lax": "permit"})
