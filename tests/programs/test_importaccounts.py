"""importaccounts: user files of other mail systems."""

import pytest

from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import account_login

pytestmark = pytest.mark.django_db(transaction=True)

FILE = """\
# name:hash:uid:gid:gecos:home:shell
lisi:{SSHA256}RL2eDPC0KUR2vYj5JBPbXF9yFuqCjojCmA4rzsTTqR2E5MBc:1000:1000:李四:/home/lisi:/bin/sh
wangwu@benet.com:{PLAIN}Grüße 42
zhaoliu:$6$I82QOM2o.5YcfdKe$HpMBa8YCZIRs9bfNLE4GKanwqym3J1Zt8RIFYXNSUP5bja.IQFDYj.3bVqZKYMa8feogt3iV0sgPg9opDia9M1:19676:0:99999:7:::
daemon:*:19676:0:99999:7:::
nonsense
bad:{ROT13}x
elsewhere@other.example:{PLAIN}Grüße 42
"""


@pytest.fixture
def path(tmp_path):
    directory.create_domain("benet.com")
    file = tmp_path / "users"
    file.write_text(FILE)
    return str(file)


def test_accounts_are_made_and_their_passwords_stay(run, path):
    ran = run("importaccounts", path)
    assert ran.status == 1
    assert ran.lines == ["lisi@benet.com: created", "wangwu@benet.com: created", "zhaoliu@benet.com: created"]
    assert ran.err.splitlines() == [
        "importaccounts: warning: line 5: daemon: has no usable password, skipped",
        "importaccounts: warning: line 6: need name:password",
        "importaccounts: warning: line 7: bad: unknown password scheme ROT13",
        "importaccounts: warning: line 8: elsewhere@other.example: other.example is not a domain with mailboxes here.",
        "importaccounts: created or changed: 3 accounts",
    ]
    assert Account.objects.get(local_part="lisi").name == "李四"
    assert "Grüße" not in Account.objects.get(local_part="wangwu").password
    for name in ("lisi", "wangwu", "zhaoliu"):
        assert account_login.log_in(name, "Grüße 42", "imap", "192.0.2.1")


def test_who_is_there_stays_unless_replaced(run, path):
    run("importaccounts", path)
    lisi = directory.find_account("lisi@benet.com")
    directory.set_password(lisi.id, "another 1937 hutong")
    assert "lisi@benet.com: already exists" in run("importaccounts", path).lines
    assert account_login.log_in("lisi", "another 1937 hutong", "imap", "192.0.2.1")
    assert "lisi@benet.com: would get the new password" in run("importaccounts", path, "--replace", "--dry-run").lines
    assert account_login.log_in("lisi", "another 1937 hutong", "imap", "192.0.2.1")
    assert "lisi@benet.com: password set" in run("importaccounts", path, "--replace").lines
    assert not account_login.log_in("lisi", "another 1937 hutong", "imap", "192.0.2.1")


def test_from_standard_input_and_a_file_that_is_not_there(run, path, tmp_path):
    assert run("importaccounts", "-", stdin="sunqi:{PLAIN}secret words 1").lines == ["sunqi@benet.com: created"]
    ran = run("importaccounts", str(tmp_path / "none"))
    assert (ran.status, ran.err.startswith("importaccounts: fatal: ")) == (1, True)
