"""domain, account, alias, importcsv, exportcsv: the directory from a script."""

import json

import pytest

from mailcore.models import Account, Alias, Change, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "seven hutongs"


@pytest.fixture
def benet(db):
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", PASSWORD, directory.AccountDraft(name="李四"))
    directory.create_alias("all@benet.com", ["lisi"])


def test_a_domain_from_first_to_last(run, benet):
    tried = run("domain", "add", "--dry-run", "Example.org", "max_accounts=3", "account_quota_bytes=1 GB")
    assert (tried.status, "max_accounts = 3" in tried.lines) == (0, True)
    assert not Domain.objects.filter(name="example.org").exists()
    run("domain", "add", "Example.org", "max_accounts=3", "account_quota_bytes=1 GB")
    assert run("domain", "list").lines == ["benet.com", "example.org"]
    data = json.loads(run("domain", "show", "--json", "example.org").out)
    assert (data["max_accounts"], data["account_quota_bytes"], data["active"]) == (3, 1 << 30, True)
    run("domain", "set", "example.org", "active=no")
    assert Domain.objects.get(name="example.org").active is False
    assert run("domain", "delete", "--dry-run", "benet.com").lines == ["benet.com with 1 account, 0 messages, 1 alias"]
    assert run("domain", "delete", "example.org").status == 0
    assert run("domain", "list").lines == ["benet.com"]
    assert Change.objects.filter(subject="example.org").latest("pk").by == "domain"


def test_an_account_from_first_to_last(run, benet):
    made = run("account", "add", "--json", "zhao@benet.com", "name=赵六", "quota_bytes=512 MB")
    row, secret = map(json.loads, made.lines)
    assert (row["name"], row["quota_bytes"]) == ("赵六", 512 << 20)
    assert account_login.log_in("zhao@benet.com", secret["password"], "imap", "192.0.2.1")
    run("account", "set", "zhao@benet.com", "state=receive-only", "expires=2030-01-31")
    row = json.loads(run("account", "show", "--json", "zhao@benet.com").out)
    assert (row["state"], row["expires"], row["name"]) == ("receive-only", "2030-01-31", "赵六")
    given = run("account", "password", "--password-stdin", "zhao@benet.com", stdin="eight hutongs\n")
    assert (given.status, given.out) == (0, "")
    assert account_login.log_in("zhao@benet.com", "eight hutongs", "imap", "192.0.2.1")
    assert run("account", "list", "--state", "receive-only").lines == ["zhao@benet.com"]
    assert run("account", "list", "-q", "李").lines == ["lisi@benet.com"]
    assert run("account", "delete", "lisi@benet.com").lines == [
        "lisi@benet.com with 0 messages, its place in all@benet.com"
    ]
    assert not Alias.objects.exists()


def test_what_opens_an_account(run, benet):
    lisi = Account.objects.get(address="lisi@benet.com")
    account_login.make_app_password(lisi.pk, "phone")
    [program] = json.loads(run("account", "access", "--json", "lisi@benet.com").out)["programs"]
    assert program["label"] == "phone"
    assert run("account", "access", "--end", "program", "--number", str(program["number"]), "lisi@benet.com").out == ""
    assert run("account", "access", "--end", "factors", "lisi@benet.com").status == 1


def test_an_alias_from_first_to_last(run, benet):
    assert run("alias", "add", "sales@benet.com", "targets=lisi, a@far.example", "comment=x").status == 0
    assert json.loads(run("alias", "show", "--json", "sales@benet.com").out)["targets"] == [
        "lisi@benet.com",
        "a@far.example",
    ]
    run("alias", "set", "sales@benet.com", "active=no")
    assert Alias.objects.get(address="sales@benet.com").active is False
    assert run("alias", "delete", "sales@benet.com").lines == ["sales@benet.com"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["account", "show", "nobody@benet.com"], "nobody@benet.com: does not exist"),
        (["account", "add", "lisi@benet.com"], "lisi@benet.com: exists already"),
        (["account", "set", "nobody@benet.com", "state=off"], "does not exist"),
        (["account", "set", "lisi@benet.com", "colour=red"], "colour=red: not field=value with a field of name, state"),
        (["account", "set", "lisi@benet.com", "state=asleep"], "asleep is not one of the available choices"),
        (["account", "set", "lisi@benet.com", "quota_bytes=500"], "Say which unit"),
        (["account", "add", "x@elsewhere.example"], "elsewhere.example is not a domain with mailboxes here"),
        (["alias", "add", "x@benet.com", "targets=nobody"], "There is no account or alias nobody@benet.com here"),
        (["domain", "add", "no domain"], "is not a domain name"),
        (["domain"], "fatal: usage: domain"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_changed(run, benet, arguments, words):
    before = Change.objects.count()
    ran = run(*arguments)
    assert (ran.status, ran.out) == (1, "")
    assert words in ran.err
    assert Change.objects.count() == before


def test_out_as_csv_and_in_again(run, benet):
    directory.change_account(
        Account.objects.get().pk, directory.AccountDraft(name="=李, 四", quota_bytes=5 << 20, state="hold")
    )
    text = {kind: run("exportcsv", kind).out for kind in ("domains", "accounts", "aliases")}
    assert text["accounts"].splitlines()[1].startswith('lisi@benet.com,"\'=李, 四",hold,owner,')
    Change.objects.all().delete()
    for kind, each in text.items():
        ran = run("importcsv", kind, "-", stdin=each)
        assert (ran.status, ran.err.strip()) == (0, "importcsv: created: 0, changed: 1, rejected: 0")
        assert run("exportcsv", kind).out == each
    assert not Change.objects.exists()


def test_a_file_with_mistakes(run, benet, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(
        f"address,name,password\r\nzhao@benet.com,赵六,{PASSWORD}\r\nli si@benet.com,,x\r\n".encode("gb18030")
    )
    tried = run("importcsv", "accounts", str(file), "--dry-run", "--json")
    assert tried.status == 1
    assert [(each["line"], each["done"]) for each in map(json.loads, tried.lines)] == [(2, "created"), (3, "")]
    assert Account.objects.count() == 1
    ran = run("importcsv", "accounts", str(file))
    assert ran.lines == ["zhao@benet.com: created"]
    assert "importcsv: warning: line 3: li si@benet.com: " in ran.err
    assert Account.objects.get(address="zhao@benet.com").name == "赵六"
    assert run("importcsv", "accounts", "-", stdin="colour\nred\n").status == 1
    assert (
        run("importcsv", "accounts", str(tmp_path / "none")).err
        == f"importcsv: fatal: {tmp_path}/none: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("charset", "heading", "ends"),
    [
        ("utf-16", "address\tname\tpassword", "\r\n"),
        ("utf-16-le", "address\tname\tpassword", "\r\n"),
        ("utf-8-sig", "sep=;\r\n邮箱;姓名;密码", "\r\n"),
        ("gbk", "邮箱,姓名,初始密码", "\r"),
        ("big5", "電子郵件,姓名,密碼", "\r\n"),
        ("utf-8", "address,name,password", "\r"),
    ],
)
def test_a_file_as_spreadsheets_write_it(run, benet, tmp_path, charset, heading, ends):
    file = tmp_path / "a.csv"
    separator = next(each for each in "\t;," if each in heading.removeprefix("sep=;"))
    row = separator.join(
        ("zhao@benet.com", "張三", PASSWORD) if charset == "big5" else ("zhao@benet.com", "赵六", PASSWORD)
    )
    file.write_bytes(f"{heading}{ends}{row}{ends}".encode(charset))
    assert run("importcsv", "accounts", str(file)).lines == ["zhao@benet.com: created"]
    assert Account.objects.get(address="zhao@benet.com").name in ("赵六", "張三")


def test_what_is_no_csv_is_said_so(run, benet, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"address,name\n" + b'"' + b"x" * 200_000)
    ran = run("importcsv", "accounts", str(file))
    assert ran.status == 1
    assert "Traceback" not in ran.err
    file.write_bytes(b'"' + b"x" * 200_000)
    assert run("importcsv", "accounts", str(file)).err.startswith("importcsv: fatal: This is not a CSV file")


@pytest.mark.parametrize(
    "words",
    [
        ("zhao@benet.com", "--password-stdin", "name=赵六", "language=de"),
        ("zhao@benet.com", "name=赵六", "--password-stdin", "language=de"),
        ("--password-stdin", "zhao@benet.com", "name=赵六", "language=de"),
        ("zhao@benet.com", "name=赵六", "language=de", "--password-stdin"),
    ],
)
def test_options_and_fields_in_any_order(run, benet, words):
    assert run("account", "add", *words, stdin=f"{PASSWORD}\n").status == 0
    account = Account.objects.get(address="zhao@benet.com")
    assert (account.name, account.language) == ("赵六", "de")


@pytest.mark.parametrize(
    "words", [("list", "name=x"), ("add", "zhao@benet.com", "--json", "extra"), ("show", "a@b", "c=d")]
)
def test_what_no_program_understands(run, benet, words):
    ran = run("account", *words)
    assert ran.status == 1
    assert "fatal: usage: " in ran.err


def test_each_says_what_it_can(run):
    for name in ("domain", "account", "alias", "exportcsv", "importcsv"):
        ran = run(name, "--help")
        assert (ran.status, ran.out.startswith(f"usage: {name}")) == (0, True)
