"""postconf, postmap, postalias and newaliases."""

import json
import re
from pathlib import Path

import pytest

from mailcore import conf
from mailcore.models import Alias, Setting
from mailcore.store import directory
from mailcore.store.settings import lookup_tables

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

# --- postconf -------------------------------------------------------------------------------------


def test_every_parameter(run):
    names = [line.partition(" =")[0] for line in run("postconf").lines]
    assert names == sorted(conf.SPECS)


def test_set_shown_unset(run):
    assert run("postconf", "-e", "delay_warning_time = 1h", "myorigin=$myhostname").status == 0
    assert run("postconf", "-n").out == "delay_warning_time = 1h\nmyorigin = $myhostname\n"
    assert run("postconf", "-h", "delay_warning_time").out == "1h\n"
    assert run("postconf", "-d", "delay_warning_time").out == "delay_warning_time = 0h\n"
    assert conf.current().delay_warning_time == 3600
    assert run("postconf", "-X", "delay_warning_time").status == 0
    assert run("postconf", "delay_warning_time").out == "delay_warning_time = 0h\n"


def test_names_are_expanded_when_asked_for(run, parameters):
    parameters(mydomain="benet.com", myorigin="$mydomain")
    assert run("postconf", "myorigin").out == "myorigin = $mydomain\n"
    assert run("postconf", "-x", "myorigin").out == "myorigin = benet.com\n"


def test_json(run):
    assert json.loads(run("postconf", "--json", "delay_warning_time").out) == {"delay_warning_time": "0h"}


def test_unknown_names(run):
    ran = run("postconf", "nosuch", "myorigin")
    assert ran.out == "myorigin = $mydomain\n"
    assert (ran.err, ran.status) == ("postconf: warning: nosuch: unknown parameter\n", 0)
    ran = run("postconf", "-e", "nosuch=1")
    assert (ran.err, ran.status) == ("postconf: warning: nosuch: unknown parameter\n", 1)


def test_a_wrong_value_changes_nothing(run):
    ran = run("postconf", "-e", "delay_warning_time=1h", "message_size_limit=much")
    assert ran.status == 1
    assert ran.err == 'postconf: fatal: message_size_limit: "much" is not a whole number\n'
    assert not Setting.objects.exists()


def test_the_environment_decides_and_postconf_says_so(run, parameters):
    parameters(mail_name="Mine")
    ran = run("postconf", "-e", "mail_name=Yours")
    assert ran.err == "postconf: warning: mail_name: MAIL_MAIL_NAME in the environment takes precedence\n"
    assert run("postconf", "-h", "mail_name").out == "Mine\n"


@pytest.mark.parametrize("argument", ["broken", "=x"])
@pytest.mark.program
def test_wrong_assignments_are_refused_in_postfixs_words(run, postfix, argument):
    ours, theirs = run("postconf", "-e", argument), postfix("postconf", "-e", argument)
    assert (ours.status, ours.err) == (theirs.status, re.sub(r"^\S*/(?=post)", "", theirs.err))


@pytest.mark.program
def test_postconf_as_postfix_renders_it(run, postfix):
    for name, *arguments in (
        ("postconf", "-e", "delay_warning_time = 2h", "mydestination=$mydomain,  localhost"),
        ("postconf", "delay_warning_time", "mydestination"),
        ("postconf", "-h", "delay_warning_time", "mydestination"),
        ("postconf", "-d", "delay_warning_time", "bounce_queue_lifetime", "smtpd_recipient_limit"),
        ("postconf", "-H", "smtpd_recipient_limit"),
    ):
        ours, theirs = run(name, *arguments), postfix(name, *arguments)
        assert (ours.status, ours.out) == (theirs.status, theirs.out), arguments
    shown = set(run("postconf", "-n").lines)
    assert shown & set(postfix("postconf", "-n").lines) == shown


@pytest.mark.program
def test_defaults_are_postfixs(run, postfix):
    """Parameters with Postfix's name have Postfix's default, except those listed here."""
    ours = _values(run("postconf", "-d").lines)
    theirs = _values(postfix("postconf", "-d").lines)
    on_purpose = {
        *("myhostname", "mydomain", "mydestination", "mynetworks", "myorigin", "mail_name", "mail_owner"),
        *("home_mailbox", "recipient_delimiter", "inet_interfaces", "smtpd_banner", "smtpd_sasl_auth_enable"),
        *("smtpd_sasl_security_options", "smtpd_timeout", "smtpd_hard_error_limit", "maillog_file", "syslog_name"),
        *("smtpd_forbid_bare_newline", "alias_database", "allow_mail_to_commands", "allow_mail_to_files"),
        *("transport_maps", "relay_domains", "smtpd_relay_restrictions", "smtp_sasl_password_maps"),
        *("sender_dependent_relayhost_maps", "smtpd_sender_login_maps", "smtpd_sender_restrictions"),
        # Postfix's depend on stress or compatibility_level, or have a regexp.
        *("smtpd_junk_command_limit", "smtpd_per_request_deadline", "smtpd_relay_before_recipient_restrictions"),
        *("smtpd_forbidden_commands", "smtpd_forbid_unauth_pipelining", "local_header_rewrite_clients"),
        "smtpd_client_event_limit_exceptions",
        # TLS is offered, and taken where it is, without being asked for; tables are there to be filled.
        *("smtpd_tls_security_level", "smtp_tls_security_level", "smtpd_tls_protocols", "smtp_tls_policy_maps"),
        *("tls_server_sni_maps", "default_process_limit"),
    }
    different = {name for name in ours.keys() & theirs.keys() if _spaced(ours[name]) != _spaced(theirs[name])}
    assert different - on_purpose == set()


def _values(lines: list[str]) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _spaced(value: str) -> str:
    return " ".join(value.replace(",", " ").split())


def test_the_page_of_parameters_names_them_all(run):
    page = run("parameters").out
    assert all(f"| `{name}` |" in page for name in conf.SPECS)


# --- postmap --------------------------------------------------------------------------------------

TABLE = """\
# who may send what
Key1  value one
key2\tv2
  continued

bad
"q key" z
Key1 again
192.0.2.7 554 Go away
"""


def test_filling_and_asking_a_table(run, tmp_path):
    source = tmp_path / "access"
    source.write_text(TABLE)
    ran = run("postmap", f"hash:{source}")
    assert ran.status == 0
    assert ran.err == (
        f"postmap: warning: {source}, line 6: expected format: key whitespace value\n"
        'postmap: warning: access: duplicate entry: "key1"\n'
    )
    assert run("postmap", "-q", "KEY1", "access").out == "value one\n"
    assert run("postmap", "-q", "nobody", "hash:/etc/postfix/access").status == 1
    assert run("postmap", "-s", "access").out == (
        '"q key"\tz\n192.0.2.7\t554 Go away\nkey1\tvalue one\nkey2\tv2  continued\n'
    )
    asked = run("postmap", "-q", "-", "access", stdin="key1\nKEY2\nzz\n")
    assert (asked.status, asked.out) == (0, "key1\tvalue one\nKEY2\tv2  continued\n")
    assert lookup_tables.find_value("hash:/etc/postfix/access", "Key1") == "value one"


def test_filling_again_takes_back_what_is_gone(run, tmp_path):
    source = tmp_path / "access"
    for text in ("a 1\nb 2\n", "b 3\nc 4\n"):
        source.write_text(text)
        run("postmap", str(source))
    assert run("postmap", "-s", "access").out == "b\t3\nc\t4\n"


def test_adding_and_deleting_entries(run):
    assert run("postmap", "-i", "access", stdin="a 1\n").status == 0
    assert run("postmap", "-i", "access", stdin="a 2\n").err == 'postmap: warning: access: duplicate entry: "a"\n'
    assert run("postmap", "-q", "a", "access").out == "1\n"
    run("postmap", "-ri", "access", stdin="a 2\n")
    assert run("postmap", "-q", "a", "access").out == "2\n"
    assert run("postmap", "-d", "A", "access").status == 0
    assert run("postmap", "-d", "A", "access").status == 1


def test_a_file_that_is_not_there_changes_nothing(run):
    run("postmap", "-i", "access", stdin="a 1\n")
    ran = run("postmap", "/nowhere/access")
    assert (ran.status, ran.err) == (1, "postmap: fatal: open /nowhere/access: No such file or directory\n")
    assert run("postmap", "-q", "a", "access").out == "1\n"
    assert run("postmap", "access", stdin="b 2\n").status == 0
    assert run("postmap", "-s", "access").out == "b\t2\n"


@pytest.mark.program
def test_the_same_answers_as_postmap(run, postfix):
    source = postfix.folder / "access"
    source.write_text(TABLE)
    assert "line 6: expected format: key whitespace value\n" in run("postmap", str(source)).err
    assert postfix("postmap", str(source)).status == 0
    for arguments, stdin in (
        (("-q", "KEY1"), ""),
        (("-q", "key2"), ""),
        (("-q", "nobody"), ""),
        (("-q", "-"), "key1\nKEY2\nzz\n192.0.2.7\n"),
        (("-q", "-"), "zz\n"),
        (("-d", "key2"), ""),
        (("-d", "key2"), ""),
        (("-i",), "new 1\n"),
    ):
        ours, theirs = run("postmap", *arguments, str(source), stdin=stdin), postfix(
            "postmap", *arguments, str(source), stdin=stdin
        )  # fmt: skip
        assert (ours.status, ours.out) == (theirs.status, theirs.out), arguments
    assert sorted(run("postmap", "-s", str(source)).lines) == sorted(postfix("postmap", "-s", str(source)).lines)


# --- postalias and newaliases ---------------------------------------------------------------------

ALIASES = """\
# people and lists
Root: xiaoqi
everybody: xiaoqi, lisi
   ,third@other.example
bad@benet.com: lisi
nocolon lisi
empty:
list: :include:/etc/mail/list
archive: "|/usr/bin/store -u"
file: /var/tmp/f, /var/tmp/dir/
Owner-list: root
root: again
self: self
"""


@pytest.fixture
def alias_file(tmp_path: Path) -> Path:
    path = tmp_path / "aliases"
    path.write_text(ALIASES)
    return path


def test_an_alias_file_and_its_flaws(benet, run, alias_file):
    ran = run("postalias", str(alias_file))
    assert ran.status == 0
    assert ran.err == (
        f"postalias: warning: {alias_file}, line 5: name must be local\n"
        f"postalias: warning: {alias_file}, line 6: need name:value pair\n"
        f"postalias: warning: {alias_file}, line 7: need name:value pair\n"
        f'postalias: warning: {alias_file}: duplicate entry: "root"\n'
    )
    assert directory.find_alias("everybody@benet.com").targets == (
        "xiaoqi@benet.com",
        "lisi@benet.com",
        "third@other.example",
    )
    assert directory.find_alias("archive@benet.com").targets == ('"|/usr/bin/store -u"',)


def test_asking(benet, run, alias_file):
    run("postalias", str(alias_file))
    assert run("postalias", "-q", "EVERYBODY", "aliases").out == "xiaoqi, lisi, third@other.example\n"
    assert run("postalias", "-q", "archive", "aliases").out == '"|/usr/bin/store -u"\n'
    assert run("postalias", "-q", "nobody", "aliases").status == 1
    asked = run("postalias", "-q", "-", "aliases", stdin="root\nnobody\nSelf\n")
    assert (asked.status, asked.out) == (0, "root:\txiaoqi\nSelf:\tself\n")


def test_what_is_exported_can_be_imported(benet, run, alias_file, tmp_path):
    alias_file.write_text(ALIASES + '"with space": lisi\n"a:b": "|/bin/cat ""x"", y"\n')
    run("postalias", str(alias_file))
    exported = run("postalias", "-s", "aliases").out
    again = tmp_path / "again"
    again.write_text(exported)
    Alias.objects.all().delete()
    assert run("postalias", str(again)).err == ""
    assert run("postalias", "-s", "aliases").out == exported


def test_newaliases_takes_back_what_is_gone_and_leaves_what_was_made_elsewhere(benet, run, alias_file, parameters):
    parameters(alias_database=f"hash:{alias_file}")
    run("newaliases")
    alias_file.write_text("root: lisi\n")
    assert run("newaliases").status == 0
    assert sorted(Alias.objects.values_list("local_part", flat=True)) == ["all", "root"]
    assert run("postalias", "-q", "root", "aliases").out == "lisi\n"


def test_newaliases_without_its_file(benet, run, parameters):
    parameters(alias_database="hash:/nowhere/aliases")
    ran = run("newaliases")
    assert (ran.status, ran.err) == (1, "newaliases: fatal: open /nowhere/aliases: No such file or directory\n")


def test_aliases_need_a_domain_to_live_in(run, parameters, alias_file):
    parameters(mydomain="benet.com")
    assert run("postalias", str(alias_file)).err.endswith(
        "fatal: benet.com is not a domain with mailboxes here (mydomain)\n"
    )


@pytest.mark.program
def test_the_same_answers_as_postalias(benet, run, postfix):
    directory.delete_alias(Alias.objects.get().pk)
    source = postfix.folder / "aliases"
    source.write_text(ALIASES)
    ours, theirs = run("postalias", str(source)), postfix("postalias", str(source))
    assert ours.status == theirs.status
    assert _warnings(ours.err) == _warnings(theirs.err)
    for arguments, stdin in (
        (("-q", "EVERYBODY"), ""),
        (("-q", "archive"), ""),
        (("-q", "nobody"), ""),
        (("-q", "-"), "root\nnobody\nSelf\nfile\nlist\n"),
        (("-d", "self"), ""),
        (("-d", "self"), ""),
    ):
        ours = run("postalias", *arguments, str(source), stdin=stdin)
        theirs = postfix("postalias", *arguments, str(source), stdin=stdin)
        assert (ours.status, ours.out) == (theirs.status, theirs.out), arguments
    kept = [line for line in postfix("postalias", "-s", str(source)).lines if not line.startswith(("YP_", "@"))]
    assert run("postalias", "-s", str(source)).lines == sorted(kept)


def _warnings(text: str) -> list[str]:
    return [re.sub(r"^\S*/(?=post)|\.db(?=:)", "", line) for line in text.splitlines()]
