"""Settings, tables and a Postfix's files as text."""

import pytest

from mailcore import conf
from mailcore.models import Alias, Change, Domain
from mailcore.store.settings import lookup_tables, parameter_changes
from mailcore.store.setup import postfix_import

pytestmark = pytest.mark.django_db

MAIN_CF = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
compatibility_level = 3.6
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
myhostname = mail.example.org
mydestination = $myhostname, example.org, localhost.example.org,
    localhost
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
message_size_limit = 20480000
message_size_limit = 30720000
recipient_delimiter = +
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
smtpd_recipient_restrictions =
    check_sender_access hash:/etc/postfix/sender_access,
    reject_unknown_sender_domain
smtpd_helo_restrictions = sacrifice_a_goat
virtual_alias_domains = lists.example.org
virtual_alias_maps = hash:/etc/postfix/virtual
transport_maps = hash:/etc/postfix/transport
alias_maps = hash:/etc/aliases
made_up_parameter = 7
minimal_backoff_time = soon
no equals sign here
"""
VIRTUAL = """\
lists.example.org    anything
all@lists.example.org    lisi@benet.com, wang@accp.com
# an alias of an alias below it
staff@lists.example.org    later@lists.example.org
later@lists.example.org    ann@benet.com
@lists.example.org    ann@benet.com
who@nowhere.example    ann@benet.com
gone@lists.example.org    nobody@benet.com
"""


def verdicts(text: str, kind: str = "main.cf", *, really: bool = True, name: str = "") -> dict[str, tuple[bool, str]]:
    return {
        each.what or f"line {each.line}": (each.taken, each.reason)
        for each in postfix_import.import_text(kind, text, name=name, really=really)
    }


# --- From a Postfix -------------------------------------------------------------------------------


def test_a_main_cf_is_taken_line_by_line(office):
    lines = verdicts(MAIN_CF)
    for name in (
        "myhostname",
        "mydestination",
        "mynetworks",
        "smtpd_recipient_restrictions",
        "biff",
        "compatibility_level",
    ):
        assert lines[name][0], name
    assert not lines["made_up_parameter"][0]
    assert "sacrifice_a_goat" in lines["smtpd_helo_restrictions"][1]
    assert "soon" in lines["minimal_backoff_time"][1]
    assert not lines["line 23"][0]
    assert conf.current().message_size_limit == 30720000
    assert conf.current().myhostname == "mail.example.org"
    assert Domain.objects.filter(name="lists.example.org").exists()
    assert Change.objects.filter(action="setting.change", subject="myhostname").exists()


def test_a_try_changes_nothing(office):
    before = conf.explicit_values()
    assert verdicts(MAIN_CF, really=False) == verdicts(MAIN_CF)
    parameter_changes.change_parameters(dict.fromkeys(conf.explicit_values()))
    Domain.objects.filter(name="lists.example.org").delete()
    verdicts(MAIN_CF, really=False)
    assert conf.explicit_values() == before
    assert conf.current().message_size_limit == 10240000
    assert not Domain.objects.filter(name="lists.example.org").exists()


def test_an_open_relay_is_not_taken_over(office):
    lines = verdicts("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit\nsmtpd_hard_error_limit = 9\n")
    assert any(not taken and "open relay" in why for taken, why in lines.values())
    assert conf.current().smtpd_hard_error_limit == 9
    assert conf.rejects_open_relay()


def test_a_virtual_table_becomes_aliases_domains_and_catch_alls(office):
    lines = verdicts(VIRTUAL, "virtual")
    assert {what for what, (taken, _) in lines.items() if not taken} == {
        "who@nowhere.example",
        "gone@lists.example.org",
    }
    assert "There is no account or alias" in lines["gone@lists.example.org"][1]
    assert Alias.objects.get(address="staff@lists.example.org").targets == ["later@lists.example.org"]
    assert Domain.objects.get(name="lists.example.org").catch_all == "ann@benet.com"


def test_out_and_in_again_is_the_same(office, monkeypatch):
    monkeypatch.setenv("MAIL_MYDOMAIN", "benet.com")
    conf.refresh()
    verdicts(MAIN_CF)
    verdicts(VIRTUAL, "virtual")
    verdicts('postmaster: ann\nstaff: lisi, far@other.example\nrobot: "|/bin/robot --quiet"\n', "aliases")
    verdicts("far.example smtp:[relay]:587\n.old.example error:5.1.2 moved\n", "table", name="transport")
    kinds = [("main.cf", ""), ("virtual", ""), ("aliases", ""), ("table", "transport")]
    first = {kind: postfix_import.export_text(kind, name) for kind, name in kinds}
    Change.objects.all().delete()
    for kind, name in kinds:
        assert all(taken for taken, _ in verdicts(first[kind], kind, name=name).values()), kind
    assert {kind: postfix_import.export_text(kind, name) for kind, name in kinds} == first
    assert not Change.objects.exclude(action="alias.file").exists()


def test_the_screen_tries_then_imports(office, visit):
    ann = visit("ann")
    data = {"kind": "main.cf", "text": "message_size_limit = 7777777\nno_such = 1\n"}
    page = ann.post("/admin/settings/postfix", data | {"try": "1"})
    assert (page.context["taken"], page.context["refused"]) == (1, 1)
    assert conf.current().message_size_limit == 10240000
    ann.post("/admin/settings/postfix", data | {"import": "1"})
    assert conf.current().message_size_limit == 7777777
    table = {"kind": "table", "name": "sender_access", "text": "spam@x.example REJECT\n", "import": "1"}
    ann.post("/admin/settings/postfix", table)
    assert lookup_tables.find_value("sender_access", "spam@x.example") == "REJECT"
    assert ann.post("/admin/settings/postfix", table | {"name": ""}).status_code == 400


def test_the_program_takes_main_cf_and_the_files_it_names(office, tmp_path, capsys):
    from django.core.management import call_command

    (tmp_path / "etc/postfix").mkdir(parents=True)
    (tmp_path / "etc/postfix/main.cf").write_text(MAIN_CF)
    (tmp_path / "etc/postfix/virtual").write_text(VIRTUAL)
    (tmp_path / "etc/postfix/sender_access").write_text("spam@x.example REJECT\n")
    arguments = (str(tmp_path / "etc/postfix"), f"--root={tmp_path}")
    reports = []
    for more in (["--dry-run"], []):
        with pytest.raises(SystemExit):
            call_command("importpostfix", *arguments, *more)
        said = capsys.readouterr()
        reports.append((said.out.replace("would be ", ""), said.err))
        assert Alias.objects.filter(domain__name="lists.example.org").exists() != bool(more)
        assert "virtual: 5 lines" in said.out
        assert "made_up_parameter: There is no such parameter here." in said.err
        assert "open" in said.err  # /etc/postfix/transport is not there
        assert lookup_tables.look_up_uncached("sender_access", "spam@x.example") == (None if more else "REJECT")
    assert reports[0] == reports[1], "a dry run reports what the run does"


# --- postconf -n ----------------------------------------------------------------------------------


def test_settings_are_edited_as_text(office, visit):
    ann = visit("ann")
    parameter_changes.change_parameters({"smtpd_recipient_limit": "77", "delay_warning_time": "4h"})
    page = ann.get("/admin/settings/text")
    assert page.context["text"] == "delay_warning_time = 4h\nsmtpd_recipient_limit = 77\n"
    text = "smtpd_recipient_limit = 88\nsmtpd_hard_error_limit = 7\n"
    checked = ann.post("/admin/settings/text", {"text": text})
    assert [(each.name, each.old, each.new) for each in checked.context["differences"]] == [
        ("delay_warning_time", "4h", None), ("smtpd_hard_error_limit", None, "7"), ("smtpd_recipient_limit", "77", "88"),
    ]  # fmt: skip
    assert conf.current().smtpd_recipient_limit == 77
    assert ann.post("/admin/settings/text", {"text": text, "save": "1"}).status_code == 302
    assert conf.explicit_values() == {"smtpd_hard_error_limit": "7", "smtpd_recipient_limit": "88"}
    assert ann.get("/admin/settings/main.cf").text == "smtpd_hard_error_limit = 7\nsmtpd_recipient_limit = 88\n"


@pytest.mark.parametrize(
    "text", ["no_such = 1", "smtpd_recipient_limit = many", "nonsense", "smtpd_recipient_restrictions = x"]
)
def test_a_mistake_in_the_text_changes_nothing(office, visit, text):
    answer = visit("ann").post("/admin/settings/text", {"text": f"message_size_limit = 5\n{text}\n", "save": "1"})
    assert answer.status_code == 400
    assert answer.context["problems"]
    assert conf.explicit_values() == {}
    assert conf.current().message_size_limit == 10240000


# --- Tables ---------------------------------------------------------------------------------------


def test_a_table_is_edited(office, visit):
    ann = visit("ann")
    assert ann.post("/admin/tables/new", {"name": "sender_access"}).url == "/admin/tables/sender_access"
    data = {"text": "spam@x.example REJECT no, thanks\n192.0.2 OK\n"}
    assert "Every line can be read" in ann.post("/admin/tables/sender_access", data).text
    assert lookup_tables.list_tables() == []
    ann.post("/admin/tables/sender_access", data | {"save": "1"})
    assert dict(lookup_tables.list_entries("sender_access")) == {"spam@x.example": "REJECT no, thanks", "192.0.2": "OK"}
    rows = {name: (entries, users) for name, entries, users in ann.get("/admin/tables/").context["rows"]}
    assert rows["sender_access"] == (2, [])
    assert rows["transport"] == (0, ["transport_maps"])
    bad = ann.post("/admin/tables/sender_access", {"text": "lonely\na b\na c\n", "save": "1"})
    assert bad.status_code == 400
    assert len(bad.context["problems"]) == 2
    assert len(dict(lookup_tables.list_entries("sender_access"))) == 2


def test_passwords_in_a_table_are_not_shown_and_stay(office, visit):
    ann = visit("ann")
    parameter_changes.change_parameters({"smtp_sasl_password_maps": "hash:/etc/postfix/sasl_passwd"})
    lookup_tables.replace_entries("sasl_passwd", {"a.example": "me:first", "b.example": "me:second"})
    page = ann.get("/admin/tables/sasl_passwd")
    assert "first" not in page.context["text"]
    text = page.context["text"].replace("b.example\t••••••", "b.example\tme:third")
    ann.post("/admin/tables/sasl_passwd", {"text": text, "save": "1"})
    assert dict(lookup_tables.list_entries("sasl_passwd")) == {"a.example": "me:first", "b.example": "me:third"}
