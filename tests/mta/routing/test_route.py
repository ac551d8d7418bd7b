"""Routing of addresses, lists, includes, commands and directories."""

import os
import sys
from pathlib import Path

import pytest
from django.conf import settings

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Account, Alias, Domain, Queued, Recipient
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.mta.queue import states
from mailcore.mta.routing.route import is_local, relay_credentials, relay_host, relays_for, route_address
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from mailcore.store.directory import DomainDraft, alias_files
from mailcore.store.settings import lookup_tables
from mailcore.values import Command, Directory, Expanded, Local, MboxFile, OwnedTargets, Refused, Remote
from mailcore.wire.files import table_files as grammar
from tests.mta.conftest import STRANGER

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def deliver() -> None:
    Courier().run_until_idle()


def alias(name: str, *targets: str) -> None:
    """As an alias file has it."""
    alias_files.add_aliases(
        "/etc/aliases", {name: tuple(grammar.parse_target(each) for each in targets)}, overwrite=True
    )


@pytest.fixture
def domains(benet) -> dict[str, int]:
    directory.create_domain("second.example", DomainDraft(kind="alias", target="benet.com"))
    directory.create_domain("inner.example", DomainDraft(kind="relay"))
    directory.create_domain("any.example", DomainDraft(catch_all="lisi@benet.com"))
    return benet


def way(address: str) -> str:
    """One step after another, written down."""
    match route_address(address):
        case Local(address=account, detail=detail):
            return f"{account} {detail}".strip()
        case Remote(next_hop=next_hop):
            return f"→ {next_hop}"
        case Expanded(targets=targets):
            return ", ".join(targets)
        case Refused(reply=reply):
            return f"{reply.code} {reply.enhanced}"
        case other:
            return repr(other)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("lisi@benet.com", "lisi@benet.com"),
        ("LiSi@BENET.com", "lisi@benet.com"),
        ("lisi", "lisi@benet.com"),
        ("lisi+shop@benet.com", "lisi@benet.com shop"),
        ("lisi@localhost", "lisi@benet.com"),
        ("nobody@benet.com", "550 5.1.1"),
        ("all@benet.com", "xiaoqi@benet.com, lisi@benet.com"),
        ("all+x@benet.com", "xiaoqi@benet.com, lisi@benet.com"),
        ("lisi@second.example", "lisi@benet.com"),
        ("all@second.example", "xiaoqi@benet.com, lisi@benet.com"),
        ("whoever@any.example", "lisi@benet.com"),
        ("whoever@inner.example", "→ inner.example"),
        ("whoever@far.example", "→ far.example"),
    ],
)
def test_addresses(domains, address, expected):
    assert way(address) == expected


def test_forwards_with_and_without_a_copy(benet):
    directory.create_alias("lisi@benet.com", ["lisi@benet.com", "lisi@far.example"])
    assert way("lisi@benet.com") == "lisi@benet.com, lisi@far.example"
    assert way("lisi+shop@benet.com") == "lisi+shop@benet.com, lisi@far.example"
    directory.create_alias("xiaoqi@benet.com", ["xiaoqi@far.example"])
    assert way("xiaoqi@benet.com") == "xiaoqi@far.example"


def test_circles_end_where_they_close(benet):
    alias("a", "b")
    alias("b", "a", "lisi")
    assert way("a@benet.com") == "lisi@benet.com"


def test_too_many(benet, parameters):
    parameters(virtual_alias_expansion_limit="3")
    alias("many", *(f"p{number}@far.example" for number in range(4)))
    assert way("many@benet.com") == "550 5.4.6"


# --- Lists with owners ----------------------------------------------------------------------------


def test_owner_replaces_the_sender_of_what_the_list_expands_to(benet):
    alias("list", "lisi", "x@far.example")
    alias("owner-list", "xiaoqi")
    assert route_address("list@benet.com") == Expanded(
        (), (OwnedTargets("owner-list@benet.com", ("lisi@benet.com", "x@far.example")),)
    )


def test_a_list_within_a_group(benet):
    alias("list", "lisi")
    alias("owner-list", "xiaoqi")
    alias("group", "xiaoqi", "list")
    assert route_address("group@benet.com") == Expanded(
        ("xiaoqi@benet.com",), (OwnedTargets("owner-list@benet.com", ("lisi@benet.com",)),)
    )


def test_a_lists_member_gets_it_from_the_owner_and_failures_go_there(post, inbox):
    alias("list", "lisi", "gone@benet.com")
    alias("owner-list", "xiaoqi")
    post("list", "xiaoqi", sender="lisi@benet.com")
    deliver()
    [received] = inbox("lisi")
    assert received.startswith(b"Return-Path: <owner-list@benet.com>\r\nX-Original-To: list@benet.com\r\n")
    own, bounce = inbox("xiaoqi")
    assert own.startswith(b"Return-Path: <lisi@benet.com>\r\n")
    assert b"Final-Recipient: rfc822; gone@benet.com\r\n" in bounce
    assert not Queued.objects.exclude(state="done").exists()
    assert os.listdir(settings.QUEUE_ROOT) == []


def test_a_pass_cut_short_makes_no_second_message(post, inbox):
    alias("list", "lisi")
    alias("owner-list", "xiaoqi")
    post("list")
    [claim] = states.claim_due("anna", 1)
    states.replace_with_targets([(claim, claim.pending[0], route_address("list@benet.com"))])
    Queued.objects.filter(id=claim.id).update(lease_us=1)  # anna dies here
    deliver()
    assert len(inbox("lisi")) == 1


# --- :include: ------------------------------------------------------------------------------------


@pytest.fixture
def members(benet, tmp_path) -> Path:
    path = tmp_path / "members"
    path.write_text('# who is in\nlisi, x@far.example\nxiaoqi\n"|/bin/cat"\n/tmp/box/\n')
    path.chmod(0o644)
    alias("list", f'":include:{path}"')
    return path


def test_includes_are_read_at_delivery(members):
    assert way("list@benet.com") == "lisi@benet.com, x@far.example, xiaoqi@benet.com"
    members.write_text("xiaoqi\n")
    assert way("list@benet.com") == "xiaoqi@benet.com"


def test_includes_that_cannot_be_trusted_wait_for_the_administrator(members, tmp_path):
    members.chmod(0o666)
    assert way("list@benet.com") == "451 4.3.5"
    members.unlink()
    assert way("list@benet.com") == "451 4.3.5"
    alias("list", '":include:relative"')
    assert way("list@benet.com") == "451 4.3.5"
    alias("list", f'":include:{tmp_path}"')
    assert way("list@benet.com") == "451 4.3.5"
    assert "warning: list@benet.com: " in (settings.LOG_ROOT / "maillog").read_text()


def test_includes_nest_so_deep(members):
    inner = members.with_name("inner")
    members.write_text(f":include:{inner}\n")
    inner.write_text("lisi\n")
    inner.chmod(0o644)
    assert way("list@benet.com") == "lisi@benet.com"
    for number in range(12):
        path = members.with_name(f"m{number}")
        path.write_text(f":include:{members.with_name(f'm{number + 1}')}\n")
        path.chmod(0o644)
    alias("list", f'":include:{members.with_name("m0")}"')
    assert way("list@benet.com") == "451 4.3.5"


# --- Commands and directories ---------------------------------------------------------------------


def test_commands_and_directories_are_off_until_allowed(post, parameters):
    for text, kind in (('"|/bin/cat"', "command"), ('"/tmp/box/"', "file")):
        assert route_address(text, final=True, kind=kind).reply.code == 550
    parameters(allow_mail_to_commands="alias", allow_mail_to_files="alias")
    assert route_address('"|/bin/cat"', final=True, kind="command") == Command("/bin/cat")
    assert route_address('"/tmp/box/"', final=True, kind="file") == Directory("/tmp/box/")
    assert route_address('"/tmp/mbox"', final=True, kind="file") == MboxFile("/tmp/mbox")


@pytest.mark.parametrize(
    "address",
    ["|/bin/touch@benet.com", '"|/bin/touch x"@benet.com', "/tmp/x/@benet.com", "|/bin/touch@far.example", "|touch"],
)
def test_no_address_is_taken_for_a_command(benet, parameters, address):
    """A target named by a client or an owner is an address, whatever its first character."""
    parameters(allow_mail_to_commands="alias", allow_mail_to_files="alias")
    for final in (False, True):
        assert not isinstance(route_address(address, final=final), Command | Directory)
    for final in (False, True):  # quotes tell nothing: the kind stands beside the text
        assert not isinstance(route_address('"|/bin/touch"', final=final), Command)


@pytest.mark.parametrize(
    ("script", "state", "dsn"),
    [
        ("exit 0", "delivered", "2.0.0"),
        ("exit 67", "failed", "5.1.1"),
        ("exit 69", "failed", "5.3.0"),
        ("exit 75", "waiting", "4.3.0"),
        ("echo no room; exit 1", "failed", "5.3.0"),
        ("kill -9 $$", "failed", "5.3.0"),
        ("sleep 50", "waiting", "4.3.0"),
    ],
)
def test_a_commands_exit_status_decides(post, parameters, tmp_path, script, state, dsn):
    parameters(allow_mail_to_commands="alias", command_time_limit="1s" if "sleep" in script else "60s")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/input; env > {tmp_path}/environment\n{script}\n")
    program.chmod(0o755)
    alias("robot", f'"|{program}"')
    post("robot", content=b"Subject: s\r\n\r\nbody\r\n")
    deliver()
    row = Recipient.objects.get(address__startswith='"|')
    assert (row.state, row.dsn) == (state, dsn), row.reason
    given = (tmp_path / "input").read_text()
    assert given.startswith("From a@other.example  ")
    assert given.endswith("Delivered-To: robot@benet.com\nSubject: s\n\nbody\n")
    found = (tmp_path / "environment").read_text()
    assert "RECIPIENT=robot@benet.com" in found
    assert "DATABASE_URL" not in found
    assert "SECRET" not in found


def test_what_a_command_says_is_passed_on(post, parameters, inbox):
    parameters(allow_mail_to_commands="alias")
    alias("robot", f'"|{sys.executable} -c \'print(\\"I am closed\\"); exit(69)\'"')
    post("robot", sender="lisi@benet.com")
    deliver()
    assert b"I am closed" in inbox("lisi")[0]


def test_a_directory(post, parameters, tmp_path):
    parameters(allow_mail_to_files="alias")
    alias("archive", f'"{tmp_path}/box/"', "lisi")
    post("archive")
    deliver()
    [path] = (tmp_path / "box/new").iterdir()
    assert path.read_bytes().startswith(b"Return-Path: <a@other.example>\r\nX-Original-To: archive@benet.com\r\n")
    assert path.read_bytes().endswith(b"\r\nSubject: s\r\n\r\nbody\r\n")


def test_what_is_restricted_bounces(post, inbox):
    alias("robot", '"|/bin/cat"')
    post("robot", sender="lisi@benet.com")
    deliver()
    assert b"Status: 5.7.1\r\n" in inbox("lisi")[0]


# --- Next hops ------------------------------------------------------------------------------------


@pytest.fixture
def transport(domains) -> None:
    entries = {
        "vip@far.example": "smtp:[10.0.0.1]:26",
        "far.example": "relay:[10.0.0.2]",
        ".far.example": "smtp:hub.example",
        "plain.example": "smtp:",
        "only-hop.example": ":[10.0.0.3]",
        "nothing.example": ":",
        "gone.example": "error:5.1.2 nobody lives here",
        "later.example": "retry:4.4.0 not today",
        "pigeon.example": "pigeon:loft",
        "lisi@benet.com": "smtp:[10.0.0.4]:2525",
    }
    lookup_tables.replace_entries("transport", entries)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("vip@far.example", "→ [10.0.0.1]:26"),
        ("vip+x@far.example", "→ [10.0.0.1]:26"),
        ("other@far.example", "→ [10.0.0.2]"),
        ("x@deep.in.far.example", "→ hub.example"),
        ("x@plain.example", "→ plain.example"),
        ("x@only-hop.example", "→ [10.0.0.3]"),
        ("x@nothing.example", "→ relay.example"),
        ("x@elsewhere.example", "→ relay.example"),
        ("x@gone.example", "550 5.1.2"),
        ("x@later.example", "450 4.4.0"),
        ("x@pigeon.example", "451 4.3.5"),
        ("lisi@benet.com", "→ [10.0.0.4]:2525"),
        ("xiaoqi@benet.com", "xiaoqi@benet.com"),
    ],
)
def test_the_transport_table_comes_before_the_relay_host(transport, parameters, address, expected):
    parameters(relayhost="relay.example")
    assert way(address) == expected


def test_relay_hosts_of_senders(benet, parameters):
    parameters(relayhost="[relay.example]:587")
    lookup_tables.replace_entries(
        "sender_relay", {"lisi@benet.com": "[hers.example]", "@second.example": "[theirs.example]:26"}
    )
    assert route_address("x@far.example", sender="lisi@benet.com") == Remote("x@far.example", "[hers.example]")
    assert route_address("x@far.example", sender="who@second.example") == Remote("x@far.example", "[theirs.example]:26")
    assert route_address("x@far.example", sender="xiaoqi@benet.com") == Remote("x@far.example", "[relay.example]:587")
    assert relay_host("") == "[relay.example]:587"


@pytest.mark.parametrize(
    ("next_hop", "sender", "expected"),
    [
        ("[relay.example]:587", "", ("user", "pass:word")),
        ("[relay.example]:587", "lisi@benet.com", ("lisi", "hers")),
        ("other.example:26", "", ("o", "p")),
        ("far.example", "", None),
    ],
)
def test_passwords_for_next_hops(benet, next_hop, sender, expected):
    entries = {"[relay.example]:587": "user:pass:word", "lisi@benet.com": "lisi:hers", "other.example": "o:p"}
    lookup_tables.replace_entries("sasl_passwd", entries)
    assert relay_credentials(next_hop, sender) == expected


def test_relay_domains_and_their_recipients(domains, parameters):
    assert relays_for("inner.example")
    assert not relays_for("listed.example")
    parameters(relay_domains="listed.example", relay_recipient_maps="hash:/etc/postfix/relay_recipients")
    assert relays_for("listed.example")
    assert not is_local("listed.example")
    lookup_tables.replace_entries("relay_recipients", {"known@listed.example": "OK", "@inner.example": "OK"})
    assert way("known@listed.example") == "→ listed.example"
    assert way("unknown@listed.example") == "550 5.1.1"
    assert way("anybody@inner.example") == "→ inner.example"
    assert way("anybody@far.example") == "→ far.example"


def test_a_backup_mx_takes_mail_from_strangers_for_relay_domains_only(domains, parameters):
    parameters(mynetworks="", smtpd_relay_restrictions="reject_unauth_destination")
    assert accept.check_recipient(RestrictionInput("RCPT", STRANGER, "a@other.example", "x@inner.example")).accepted
    assert not accept.check_recipient(RestrictionInput("RCPT", STRANGER, "a@other.example", "x@far.example")).accepted


def test_a_domain_switched_off_is_not_ours(domains):
    Domain.objects.filter(name="inner.example").update(active=False)
    caches.clear_all()
    assert not relays_for("inner.example")
    assert Alias.objects.count() == 1


# --- Addresses every system has -------------------------------------------------------------------


@pytest.fixture
def administrators(domains) -> None:
    directory.create_account("head@benet.com", "four-words-and-more", directory.AccountDraft(role="administrator"))
    directory.create_account(
        "off@benet.com", "four-words-and-more", directory.AccountDraft(role="administrator", state="off")
    )
    directory.create_domain("school.example")
    directory.create_account("teacher@school.example", "four-words-and-more")
    teacher = Account.objects.get(address="teacher@school.example")
    Account.objects.filter(pk=teacher.pk).update(role="domain")
    teacher.managed_domains.add(Domain.objects.get(name="school.example"))
    caches.clear_all()


@pytest.mark.parametrize("name", ["postmaster", "Postmaster", "abuse", "hostmaster", "webmaster", "MAILER-DAEMON"])
def test_the_administrators_get_what_is_sent_to_a_role(administrators, name: str) -> None:
    assert way(f"{name}@benet.com") == "head@benet.com"
    assert way(f"{name}@school.example") == "teacher@school.example"
    assert way(f"{name}@any.example") == "lisi@benet.com", "a catch-all is the domain's own choice"


def test_postmaster_needs_no_domain(administrators, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5321 §4.5.1: <Postmaster> without a domain is accepted, whatever the host is called."""
    assert way("Postmaster") == "head@benet.com"
    monkeypatch.setenv("MAIL_MYHOSTNAME", "mx1.other.example")
    monkeypatch.setenv("MAIL_MYORIGIN", "$myhostname")
    conf.refresh()
    assert way("Postmaster") == "head@benet.com"
    assert way("postmaster@mx1.other.example") == "head@benet.com"


def test_an_account_or_alias_comes_before_the_role(administrators) -> None:
    directory.create_account("postmaster@benet.com", "four-words-and-more")
    directory.create_alias("abuse@benet.com", ["lisi@benet.com"])
    assert way("postmaster@benet.com") == "postmaster@benet.com"
    assert way("abuse@benet.com") == "lisi@benet.com"


def test_no_name_is_a_role_without_administrators(domains) -> None:
    assert way("postmaster@benet.com") == "550 5.1.1"


def test_roles_are_a_parameter(administrators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_ROLE_ADDRESSES", "postmaster")
    conf.refresh()
    assert way("abuse@benet.com") == "550 5.1.1"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("lisi@[127.0.0.1]", "lisi@benet.com"),
        ("lisi@[IPv6:::1]", "lisi@benet.com"),
        ("lisi@[203.0.113.9]", "lisi@benet.com"),
        ("lisi@[192.0.2.1]", "→ [192.0.2.1]"),
        ("nobody@[127.0.0.1]", "550 5.1.1"),
    ],
)
def test_an_address_literal_of_this_machine_is_local(
    domains, monkeypatch: pytest.MonkeyPatch, address: str, found: str
) -> None:
    """RFC 5321 §4.1.3; Postfix: resolve_local(3) with inet_interfaces and proxy_interfaces."""
    monkeypatch.setenv("MAIL_PROXY_INTERFACES", "203.0.113.9")
    conf.refresh()
    assert way(address) == found
    assert is_local(address.partition("@")[2].lower()) == (not found.startswith("→"))
