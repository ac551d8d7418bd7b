"""A Postfix's own programs read what we write out as its files, and what they print of them comes in again as it was."""

import pytest

from mailcore import conf
from mailcore.models import Alias, Change, Domain
from mailcore.store import directory
from mailcore.store.settings import lookup_tables, parameter_changes
from mailcore.store.setup import postfix_import
from tests.programs.conftest import Postfix

pytestmark = [pytest.mark.program, pytest.mark.django_db(transaction=True)]

MAIN_CF = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_security_level = may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = mail.benet.com
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
myorigin = benet.com
mydestination = $myhostname, benet.com, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
message_size_limit = 20480000
virtual_alias_domains = lists.example.org
virtual_alias_maps = hash:/etc/postfix/virtual
transport_maps = hash:/etc/postfix/transport
smtpd_recipient_restrictions =
    check_sender_access hash:/etc/postfix/sender_access,
    reject_unknown_sender_domain
"""
VIRTUAL = """\
lists.example.org anything
all@lists.example.org lisi@benet.com, xiaoqi@benet.com
staff@lists.example.org all@lists.example.org
@lists.example.org lisi@benet.com
"""
ALIASES = """\
postmaster: root
root: lisi
robot: "|/usr/local/bin/robot --quiet"
team: lisi, xiaoqi, partner@other.example
owner-team: lisi
"""
TABLES = {
    "transport": "far.example smtp:[relay.far.example]:587\n.old.example error:5.1.2 moved away\n",
    "sender_access": "spam@x.example REJECT no, thanks\n192.0.2 OK\n",
}


@pytest.fixture
def postfix_programs(request) -> Postfix:
    """The fixture `postfix`, whose name is the module's here."""
    return request.getfixturevalue("postfix")


@pytest.fixture
def taken(monkeypatch) -> None:
    """The whole set has been taken over."""
    monkeypatch.setenv("MAIL_MYDOMAIN", "benet.com")
    conf.refresh()
    directory.create_domain("benet.com")
    for name in ("lisi", "xiaoqi"):
        directory.create_account(f"{name}@benet.com", "seven hutongs")
    assert take_over(MAIN_CF, VIRTUAL, ALIASES, TABLES) == ["smtp_tls_CApath"]  # there is smtp_tls_CAfile here


def take_over(main_cf: str, virtual: str, aliases: str, maps: dict[str, str]) -> list[str]:
    """Return the lines that were not imported."""
    files = [("main.cf", "", main_cf), ("virtual", "", virtual), ("aliases", "/etc/aliases", aliases)]
    files += [("table", name, text) for name, text in maps.items()]
    return [
        each.what
        for kind, name, text in files
        for each in postfix_import.import_text(kind, text, name=name, really=True)
        if not each.taken
    ]


def written() -> dict[str, str]:
    found = {kind: postfix_import.export_text(kind) for kind in ("main.cf", "virtual", "aliases")}
    return found | {name: postfix_import.export_text("table", name) for name in TABLES}


def test_what_was_taken_goes_out_and_comes_in_as_the_same(taken, postfix_programs: Postfix):
    run, folder = postfix_programs, postfix_programs.folder
    out = written()
    for name, text in out.items():
        (folder / name).write_text(text)
    # Postfix itself reads what we wrote.
    printed = run("postconf", "-n")
    assert printed.err == ""
    assert "message_size_limit = 20480000" in printed.out.splitlines()
    for name, (key, value) in {
        "virtual": ("all@lists.example.org", "lisi@benet.com, xiaoqi@benet.com"),
        "sender_access": ("spam@x.example", "REJECT no, thanks"),
        "transport": ("far.example", "smtp:[relay.far.example]:587"),
    }.items():
        assert run("postmap", "-q", key, f"texthash:{folder}/{name}").out == f"{value}\n"
    assert run("postalias", f"hash:{folder}/aliases").err == ""
    assert run("postalias", "-q", "robot", f"hash:{folder}/aliases").out == '"|/usr/local/bin/robot --quiet"\n'
    # What it prints, and the files, into a system without any of it: the same again.
    parameter_changes.change_parameters(dict.fromkeys(conf.explicit_values()))
    Alias.objects.all().delete()
    Domain.objects.exclude(name="benet.com").delete()
    for name in TABLES:
        lookup_tables.replace_entries(name, {})
    files = (out["virtual"], out["aliases"], {name: out[name] for name in TABLES})
    assert take_over(printed.out, *files) == []
    assert written() == out
    # And once more: nothing is left to change.
    Change.objects.all().delete()
    assert take_over(out["main.cf"], *files) == []
    assert written() == out
    assert not Change.objects.exclude(action="alias.file").exists()
