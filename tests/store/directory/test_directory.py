"""Writing domains, accounts and aliases, and asking who is who."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from django.utils import timezone, translation

from mailcore.models import Account, Alias, Domain, Mailbox, Message, MessageSummary, MessageText
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.directory import AccountDraft, DirectoryError, DomainDraft
from mailcore.store.maildir import maildir_files
from mailcore.store.setup import demo_accounts
from mailcore.values import Owner

pytestmark = [pytest.mark.django_db, pytest.mark.database]

# A hash nobody can open: these tests are not about passwords.
SHUT = "argon2$argon2id$v=19$m=102400,t=2,p=8$cTB2YkdhNzRodUM4Rm5WTmd5RjdWMg$" + "A" * 43


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture
def benet() -> int:
    return directory.create_domain("benet.com")


def person(name: str, **wishes: object) -> int:
    return directory.create_account(f"{name}@benet.com", "", AccountDraft(**wishes), password_hash=SHUT)


def refused(function, *values, **named) -> dict[str, str]:
    with pytest.raises(DirectoryError) as caught:
        function(*values, **named)
    return caught.value.fields


# --- Domains --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [("benet.com", "benet.com"), (" BeNet.Com. ", "benet.com"), ("例子.中国", "xn--fsqu00a.xn--fiqs8s")],
)
def test_a_domain_is_stored_in_one_form(given, stored):
    directory.create_domain(given)
    entry = directory.find_domain(stored.upper())
    assert entry
    assert (entry.name, entry.kind) == (stored, "local")


@pytest.mark.parametrize("given", ["", " ", ".", "-x.com", "x..com", "x_y.com", "a b.com", "x" * 64 + ".com", "é" * 70])
def test_what_is_no_domain_name_is_refused(given):
    assert refused(directory.create_domain, given) == {"name": f"“{given}” is not a domain name."}


def test_a_domain_once(benet):
    assert refused(directory.create_domain, "BENET.com") == {"name": "benet.com already exists."}


def test_an_alias_domain_stands_for_a_local_one(benet):
    directory.create_domain("benet.cn", DomainDraft(kind="alias", target="benet.com"))
    entry = directory.find_domain("benet.cn")
    assert entry
    assert entry.target == "benet.com"
    for target in ("", "nowhere.org", "benet.cn", "benet.org"):
        draft = DomainDraft(kind="alias", target=target)
        assert set(refused(directory.create_domain, "benet.org", draft)) == {"target"}


def test_kind_changes_only_while_nobody_lives_there(benet):
    directory.change_domain(benet, DomainDraft(kind="relay"))
    directory.change_domain(benet, DomainDraft())
    person("lisi")
    assert set(refused(directory.change_domain, benet, DomainDraft(kind="relay"))) == {"kind"}


def test_a_domain_switched_off_is_not_found(benet):
    directory.change_domain(benet, DomainDraft(active=False))
    assert directory.find_domain("benet.com") is None


def test_deleting_a_domain_says_first_what_goes_and_then_all_of_it_goes(
    benet, django_capture_on_commit_callbacks, tmp_path
):
    directory.create_domain("accp.com")
    person("lisi")
    directory.create_account("admin@accp.com", "", AccountDraft(role="administrator"), password_hash=SHUT)
    directory.create_alias("all@benet.com", ["lisi"])
    directory.create_alias("friends@accp.com", ["lisi@benet.com", "admin"])
    directory.create_alias("lisi@accp.com", ["lisi@benet.com"])
    Account.objects.filter(address="lisi@benet.com").update(used_bytes=451, used_messages=1)
    contents = directory.domain_contents(benet)
    assert (contents.accounts, contents.aliases, contents.byte_count, contents.messages) == (1, 1, 451, 1)
    assert Path(maildir_files.folder_directory("lisi@benet.com", "")).is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        directory.delete_domain(benet)
    assert list(Account.objects.values_list("address", flat=True)) == ["admin@accp.com"]
    assert list(Alias.objects.values_list("address", "targets")) == [("friends@accp.com", ["admin@accp.com"])]
    assert not Path(maildir_files.account_directory("lisi@benet.com")).exists()
    assert not list(Path(tmp_path / "mail").glob(".removed*"))


def test_a_domain_that_others_are_names_for_stays(benet):
    directory.create_domain("benet.cn", DomainDraft(kind="alias", target="benet.com"))
    assert directory.domain_contents(benet).named_by == ("benet.cn",)
    assert refused(directory.delete_domain, benet) == {"": "benet.cn is an alias of this domain: delete it first."}


# --- Accounts -------------------------------------------------------------------------------------


def test_an_account_has_an_inbox_and_a_maildir(benet):
    account = directory.create_account("LiSi@Benet.com", "hutong im Regen", AccountDraft(name="李四"))
    assert account_login.log_in("lisi", "hutong im Regen", "imap", "192.0.2.1") == Owner(account, "lisi@benet.com")
    assert Mailbox.objects.filter(account=account, name="INBOX", folder="").exists()
    assert (Path(maildir_files.folder_directory("lisi@benet.com", "")) / "new").is_dir()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "lisi",
        "lisi@",
        "@benet.com",
        "li si@benet.com",
        '"li si"@benet.com',
        "li/si@benet.com",
        "lisi@elsewhere.org",
        "x" * 65 + "@benet.com",
        "lisi@benet.com\r\n",
        "li\0si@benet.com",
    ],
)
def test_addresses_that_no_account_can_have(benet, address):
    if address.strip() == "lisi@benet.com":
        person("lisi")
    assert set(refused(directory.create_account, address, "", password_hash=SHUT)) == {"address"}


@pytest.mark.parametrize("password", ["", "123456", "password1", "lisi@benet.com"])
def test_weak_passwords(benet, password):
    assert set(refused(directory.create_account, "lisi@benet.com", password)) == {"password"}
    assert not Account.objects.exists()
    assert set(refused(directory.set_password, person("lisi"), password)) == {"password"}


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"state": "asleep"}, "state"),
        ({"role": "king"}, "role"),
        ({"language": "tlh"}, "language"),
        ({"time_zone": "Asia/Atlantis"}, "time_zone"),
    ],
)
def test_wishes_that_make_no_sense(benet, wish, field):
    assert set(refused(person, "lisi", **wish)) == {field}
    assert set(refused(directory.change_account, person("xiaoqi"), AccountDraft(**wish))) == {field}


def test_a_domain_may_be_full(benet):
    directory.change_domain(benet, DomainDraft(max_accounts=1))
    person("lisi")
    assert refused(person, "xiaoqi") == {"address": "benet.com has reached its limit of accounts."}


def test_somebody_administrates_as_long_as_somebody_did(benet):
    boss = person("boss", role="administrator")
    word = {"": "This is the last administrator: create another one first."}
    assert refused(directory.change_account, boss, AccountDraft(role="owner")) == word
    assert refused(directory.change_account, boss, AccountDraft(role="administrator", state="off")) == word
    assert refused(directory.delete_account, boss) == word
    assert refused(directory.delete_domain, benet) == word
    assert Account.objects.filter(pk=boss, role="administrator", state="active").exists()
    person("deputy", role="administrator")
    directory.delete_account(boss)


def test_deleting_an_account_takes_its_mail_and_its_places_in_groups(benet, django_capture_on_commit_callbacks):
    lisi, _ = person("lisi"), person("xiaoqi")
    directory.create_alias("all@benet.com", ["lisi", "xiaoqi"])
    directory.create_alias("li@benet.com", ["lisi"])
    assert directory.aliases_naming("lisi@benet.com") == ["all@benet.com", "li@benet.com"]
    box = Mailbox.objects.get(account=lisi, name="INBOX")
    row = Message.objects.create(
        mailbox=box, uid=1, modseq=2, base_name="1.x", size=1, internal_at=0, saved_at=0, sent_at=0
    )
    MessageSummary.objects.create(message=row, envelope=b"", body_structure=b"")
    MessageText.objects.create(message=row, headers="", body="")
    with django_capture_on_commit_callbacks(execute=True):
        directory.delete_account(lisi)
    assert not Message.objects.exists()
    assert not Path(maildir_files.account_directory("lisi@benet.com")).exists()
    assert list(Alias.objects.values_list("address", "targets")) == [("all@benet.com", ["xiaoqi@benet.com"])]
    assert refused(directory.delete_account, lisi) == {"": "This account no longer exists."}


def test_owners_change_their_name_and_tongue(benet):
    lisi = person("lisi")
    directory.change_own(lisi, name=" 李四 ", language="en", time_zone="Asia/Shanghai")
    assert Account.objects.values_list("name", "language", "time_zone").get(pk=lisi) == ("李四", "en", "Asia/Shanghai")


# --- Aliases --------------------------------------------------------------------------------------


def test_an_alias_to_one_and_to_many(benet):
    person("lisi"), person("xiaoqi")
    directory.create_alias("All@benet.com", ["Lisi", "xiaoqi@benet.com", "lisi@BENET.com", "friend@example.org"])
    found = directory.find_alias("all@benet.com")
    assert found
    assert found.targets == ("lisi@benet.com", "xiaoqi@benet.com", "friend@example.org")


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([], "An alias delivers to at least one address."),
        (["a b@example.org"], "“a b@example.org” is not an address."),
        (["lisi", "nobody"], "There is no account or alias nobody@benet.com here."),
        (["self"], "self@benet.com would deliver to itself."),
    ],
)
def test_targets_that_are_refused(benet, targets, words):
    person("lisi")
    assert refused(directory.create_alias, "self@benet.com", targets) == {"targets": words}


def test_a_target_may_carry_an_extension_or_be_caught(benet):
    person("lisi")
    directory.create_alias("news@benet.com", ["lisi+news"])
    directory.change_domain(benet, DomainDraft(catch_all="lisi@benet.com"))
    directory.create_alias("any@benet.com", ["whoever"])


def test_a_circle_is_refused_and_shown(benet):
    person("lisi")
    directory.create_alias("a@benet.com", ["lisi"])
    directory.create_alias("b@benet.com", ["a"])
    directory.create_alias("c@benet.com", ["lisi", "b"])
    a = Alias.objects.get(address="a@benet.com").pk
    assert refused(directory.change_alias, a, ["lisi", "c"]) == {
        "targets": "These aliases form a loop: a@benet.com → c@benet.com → b@benet.com → a@benet.com"
    }


def test_an_account_may_forward_and_keep_a_copy(benet):
    person("lisi")
    alias = directory.create_alias("lisi@benet.com", ["lisi", "lisi@example.org"])
    directory.change_alias(alias, ["lisi@example.org"], active=False, comment="away")
    assert directory.find_alias("lisi@benet.com") is None
    directory.delete_alias(alias)
    assert refused(directory.delete_alias, alias) == {"": "This alias no longer exists."}


@pytest.mark.parametrize(
    ("text", "targets"), [("a, b;c\n d", ["a", "b", "c", "d"]), ("a，b；c、d", ["a", "b", "c", "d"]), (" ,, ", [])]
)
def test_what_people_type_into_the_box(text, targets):
    assert directory.split_targets(text) == targets


# --- Asking ---------------------------------------------------------------------------------------


def test_answers_are_remembered_and_forgotten_with_every_write(benet, django_assert_num_queries):
    assert directory.find_account("lisi@benet.com") is None
    person("lisi")
    with django_assert_num_queries(1):
        for _ in range(3):
            found = directory.find_account("LISI@benet.com")
    assert found
    assert found.can_receive
    assert found.can_send
    directory.change_account(found.id, AccountDraft(state="send-only"))
    assert not directory.find_account("lisi@benet.com").can_receive


def test_answers_of_other_processes_writes_come_after_a_moment(benet, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("mailcore.store.directory.lookup.monotonic", lambda: clock[0])
    assert directory.find_domain("benet.com")
    Domain.objects.update(active=False)  # as another process would
    assert directory.find_domain("benet.com")
    clock[0] += 6
    assert directory.find_domain("benet.com") is None


def test_an_answer_asked_before_a_write_does_not_outlive_it(benet):
    from mailcore.store.directory.lookup import _TimedCache

    def ask(key: str) -> str:
        answers.clear()  # the write that happens meanwhile
        return "old"

    answers = _TimedCache(ask)
    assert answers.get("x") == "old"
    assert answers._entries == {}


@pytest.mark.parametrize(
    ("state", "receives", "sends", "held"),
    [
        ("active", True, True, False),
        ("no-login", True, True, False),
        ("receive-only", True, False, False),
        ("send-only", False, True, False),
        ("hold", True, True, True),
        ("off", False, False, False),
    ],
)
def test_what_states_mean_for_mail(benet, state, receives, sends, held):
    person("lisi", state=state)
    entry = directory.find_account("lisi@benet.com")
    assert (entry.can_receive, entry.can_send, entry.held) == (receives, sends, held)


def test_an_expired_account_receives_nothing(benet):
    person("lisi", expires=timezone.localdate() - timedelta(days=1))
    person("xiaoqi", expires=date(9999, 1, 1))
    assert not directory.find_account("lisi@benet.com").can_receive
    assert directory.find_account("xiaoqi@benet.com").can_receive


def test_the_demo(benet):
    assert refused(demo_accounts.build_accounts) == {"": "The demo is built in an empty directory only."}
    directory.delete_domain(benet)
    password = demo_accounts.build_accounts(users=3)
    assert account_login.log_in("admin", password, "imap", "127.0.0.1")
    for name in ("xiaoqi", "lisi", "user000", "user002"):
        assert account_login.log_in(name, "123456", "imap", "127.0.0.1")
    assert directory.find_alias("all@benet.com").targets == ("xiaoqi@benet.com", "lisi@benet.com")
    assert directory.home_domain() == "benet.com"
