"""The same mechanisms over SMTP, IMAP and POP3: SCRAM and bearer tokens by hand, then by real programs."""

import base64
import subprocess
from shutil import which

import pytest
from django.contrib.auth.hashers import make_password

from conversation import Conversation, Hearing
from mailcore import rate_counters
from mailcore.models import Account
from mailcore.servers.pop3.session import Pop3Server
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.committer import Committer
from mailcore.store import directory
from mailcore.store.auth import account_login
from tests.wire.auth.test_sasl import scram_client

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "123456"
FIRST = b"n,,n=lisi,r=fyko+d2lbbFgONRv9qkxdawL"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode() or "="


class Spoken:
    """One protocol's words around the mechanisms' bytes: how AUTH begins, what a challenge and the end look like."""

    def __init__(self, conversation: Conversation, auth: str, challenge: str, done: str) -> None:
        self.conversation, self.auth, self.challenge, self.done = conversation, auth, challenge, done

    def begin(self, mechanism: str, initial: bytes | None = None) -> None:
        self.conversation.say(f"{self.auth} {mechanism}" + ("" if initial is None else f" {b64(initial)}"))

    def challenged(self) -> bytes:
        line = self.conversation.hear()
        assert line.startswith(self.challenge), line
        return base64.b64decode(line.removeprefix(self.challenge))

    def answer(self, data: bytes) -> None:
        self.conversation.say(base64.b64encode(data))

    def leave(self) -> None:
        self.conversation.say("a LOGOUT" if self.auth.startswith("a ") else "QUIT")
        while self.conversation.hear():
            pass

    def ended(self) -> bool:
        """Did it open?"""
        return self.conversation.hear().startswith(self.done)


@pytest.fixture(params=["smtp", "imap", "pop3"])
def dial(request, serve, imap, benet):
    """`dial()` opens a connection with one of the three servers."""
    if request.param == "imap":
        running = imap()
        words = "a AUTHENTICATE", "+ ", "a OK"
    elif request.param == "pop3":
        running = serve(lambda executor: Pop3Server(executor, None, implicit_tls=False))
        words = "AUTH", "+ ", "+OK"
    else:
        running = serve(lambda executor: SmtpServer("submission", executor, None, Committer(executor)))
        words = "AUTH", "334 ", "235"

    def connect() -> Spoken:
        conversation = running.dial()
        conversation.hear()
        if request.param == "smtp":
            conversation.say("EHLO x")
            while conversation.hear().startswith("250-"):
                pass
        return Spoken(conversation, *words)

    return connect


def scram(spoken: Spoken, password: str, first: bytes = FIRST, *, at_once: bool = True) -> bool:
    spoken.begin("SCRAM-SHA-256", first if at_once else None)
    if not at_once:
        assert spoken.challenged() == b""
        spoken.answer(first)
    final, expected = scram_client(first, password, spoken.challenged())
    spoken.answer(final)
    line = spoken.conversation.hear()
    if not line.startswith(spoken.challenge):
        return False
    assert base64.b64decode(line.removeprefix(spoken.challenge)) == expected
    spoken.conversation.say("")
    opened = spoken.ended()
    spoken.leave()
    return opened


@pytest.mark.parametrize("at_once", [True, False])
def test_scram_opens_with_the_password_and_the_server_proves_itself(dial, benet, at_once):
    assert account_login.log_in("lisi", PASSWORD, "imap", "127.0.0.1")  # the keys are made by this
    assert not scram(dial(), "wrong", at_once=at_once)
    assert scram(dial(), PASSWORD, at_once=at_once)


def test_scram_takes_app_passwords_with_and_without_the_gaps(dial, benet):
    secret = account_login.make_app_password(benet["lisi"], "phone")
    other = account_login.make_app_password(benet["lisi"], "tablet")
    assert scram(dial(), secret)
    assert scram(dial(), secret.replace(" ", ""))
    assert scram(dial(), other)
    assert not scram(dial(), secret.upper())
    assert not scram(dial(), PASSWORD)  # its keys are not made yet
    assert account_login.log_in("lisi", PASSWORD, "imap", "127.0.0.1")
    assert scram(dial(), PASSWORD)
    account_login.revoke_app_password(benet["lisi"], account_login.app_passwords(benet["lisi"])[1].id)
    assert not scram(dial(), secret)


@pytest.mark.parametrize("name", [b"nobody", b"lisi", b"\xff\xfe"])
def test_scram_looks_the_same_for_nobody_and_for_who_has_no_keys(dial, benet, name):
    assert not scram(dial(), PASSWORD, b"n,,n=" + name + b",r=abc")


def test_a_closed_account_stays_closed_to_scram(dial, benet):
    assert account_login.log_in("lisi", PASSWORD, "imap", "127.0.0.1")
    directory.change_account(benet["lisi"], directory.AccountDraft(state="off"))
    assert not scram(dial(), PASSWORD)


def test_who_wants_to_act_for_another_or_talks_nonsense(dial, benet):
    for initial in (b"n,a=xiaoqi,n=lisi,r=abc", b"nonsense"):
        spoken = dial()
        spoken.begin("SCRAM-SHA-256", initial)
        assert not spoken.ended()
    spoken = dial()
    spoken.begin("SCRAM-SHA-256", FIRST)
    spoken.challenged()
    spoken.answer(b"nonsense")
    assert not spoken.ended()


def verify(token: str) -> str | None:
    return {"good": "lisi@benet.com", "gone": "nobody@benet.com"}.get(token)


@pytest.fixture
def verifier(settings) -> None:
    settings.OAUTH_VERIFIER = "tests.servers.test_authentication.verify"


@pytest.mark.parametrize(
    ("mechanism", "initial", "opens"),
    [
        ("XOAUTH2", b"user=lisi@benet.com\1auth=Bearer good\1\1", True),
        ("XOAUTH2", b"user=lisi\1auth=Bearer good\1\1", True),
        ("XOAUTH2", b"user=xiaoqi\1auth=Bearer good\1\1", False),
        ("XOAUTH2", b"user=lisi\1auth=Bearer bad\1\1", False),
        ("OAUTHBEARER", b"n,a=lisi,\1auth=Bearer good\1\1", True),
        ("OAUTHBEARER", b"n,,\1auth=Bearer good\1\1", True),
        ("OAUTHBEARER", b"n,,\1auth=Bearer gone\1\1", False),
    ],
)
def test_tokens_are_judged_by_the_function_the_setting_names(dial, verifier, mechanism, initial, opens):
    spoken = dial()
    spoken.begin(mechanism, initial)
    if not opens:
        assert b"invalid_token" in spoken.challenged()
        spoken.answer(b"\1")
    assert spoken.ended() is opens


def test_without_that_setting_there_are_no_tokens(dial):
    spoken = dial()
    spoken.begin("XOAUTH2", b"user=lisi\1auth=Bearer good\1\1")
    assert not spoken.ended()


def test_each_user_has_so_many_connections_from_one_address(dial, benet, parameters):
    if dial().done == "235":
        return  # SMTP counts clients, not users
    parameters(mail_max_userip_connections="1")
    plain = b"\0lisi\0" + PASSWORD.encode()
    first, second = dial(), dial()
    first.begin("PLAIN", plain)
    assert first.ended()
    second.begin("PLAIN", plain)
    line = second.conversation.hear()
    assert "Maximum number of connections from this address exceeded." in line
    assert rate_counters.increment_held("imap", f"{benet['lisi']} 192.0.2.1") == 1  # another address
    other = dial()
    other.begin("PLAIN", b"\0xiaoqi\0" + PASSWORD.encode())
    assert other.ended()


def test_a_session_ends_when_its_app_password_is_revoked_or_its_account_closed(imap, benet):
    running = imap()
    secret = account_login.make_app_password(benet["lisi"], "phone")
    clients = [running.dial() for _ in range(2)]
    for client, password in zip(clients, (secret, PASSWORD), strict=True):
        client.hear()
        client.do(f'LOGIN lisi "{password}"')
        client.do("SELECT INBOX")
    account_login.revoke_app_password(benet["lisi"], account_login.app_passwords(benet["lisi"])[0].id)
    clients[0].talk("C: a NOOP\nS: * BYE [UNAVAILABLE] You have been signed out.\nS:")
    clients[1].do("NOOP")
    directory.change_account(benet["lisi"], directory.AccountDraft(state="off"))
    clients[1].talk("C: a NOOP\nS: * BYE [UNAVAILABLE] You have been signed out.\nS:")


@pytest.fixture
def pop3(serve, benet):
    running = Hearing(lambda executor: Pop3Server(executor, None, implicit_tls=False))
    yield running
    running.stop()


def test_an_imap_session_ends_when_its_password_changes(imap, benet):
    """At its next command; one that signed in with the new password goes on, and so does a program with its own."""
    running = imap()
    app = account_login.make_app_password(benet["lisi"], "phone")
    old, program = (running.dial(), running.dial())
    old.talk(f"S: …\nC: a LOGIN lisi {PASSWORD}\nS: a OK …")
    program.talk(f'S: …\nC: a LOGIN lisi "{app}"\nS: a OK …')
    directory.set_password(benet["lisi"], "a fine new password")
    new = running.dial()
    new.talk('S: …\nC: a LOGIN lisi "a fine new password"\nS: a OK …')
    old.talk("C: a NOOP\nS: * BYE [UNAVAILABLE] You have been signed out.\nS:")
    directory.change_account(benet["lisi"], directory.AccountDraft(name="李四"))
    for session in (program, new):
        session.talk("C: a NOOP\nS: a OK …")


def test_a_pop3_session_ends_when_its_password_changes(pop3, benet):
    client = pop3.dial()
    client.talk(f"S: …\nC: USER lisi\nS: +OK\nC: PASS {PASSWORD}\nS: +OK …")
    directory.change_account(benet["lisi"], directory.AccountDraft(name="李四"))
    client.talk("C: STAT\nS: +OK 0 0")
    directory.set_password(benet["lisi"], "a fine new password")
    client.talk("C: STAT\nS: -ERR [AUTH] You have been signed out.\nS:")


def test_a_pop3_session_ends_with_its_account(pop3, benet):
    client = pop3.dial()
    client.talk(f"S: …\nC: USER lisi\nS: +OK\nC: PASS {PASSWORD}\nS: +OK …")
    directory.change_account(benet["lisi"], directory.AccountDraft(state="off"))
    client.talk("C: STAT\nS: -ERR [AUTH] You have been signed out.\nS:")


# --- Real programs --------------------------------------------------------------------------------


@pytest.mark.program
@pytest.mark.skipif(not which("msmtp"), reason="msmtp is not installed")
@pytest.mark.parametrize("method", ["plain", "login", "scram-sha-256", "oauthbearer", "xoauth2"])
def test_msmtp_signs_in_every_way(serve, benet, verifier, method, tmp_path):
    Account.objects.filter(pk=benet["lisi"]).update(password=make_password(PASSWORD))
    account_login.log_in("lisi", PASSWORD, "imap", "127.0.0.1")
    running = serve(lambda executor: SmtpServer("submission", executor, None, Committer(executor)))
    password = "good" if "oauth" in method or method == "xoauth2" else PASSWORD
    (tmp_path / "rc").write_text(
        f"account x\nhost 127.0.0.1\nport {running.port}\nauth {method}\nuser lisi@benet.com\npassword {password}\n"
        "from lisi@benet.com\ntls off\naccount default: x\n"
    )
    (tmp_path / "rc").chmod(0o600)
    done = subprocess.run(
        ["msmtp", "-C", tmp_path / "rc", "xiaoqi@benet.com"],
        input=b"Subject: hi\r\n\r\nbody\r\n",
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.program
@pytest.mark.skipif(not which("mpop"), reason="mpop is not installed")
@pytest.mark.parametrize("method", ["user", "plain", "login", "scram-sha-256", "oauthbearer", "xoauth2"])
def test_mpop_signs_in_every_way(serve, benet, verifier, method, tmp_path):
    account_login.log_in("lisi", PASSWORD, "imap", "127.0.0.1")
    running = serve(lambda executor: Pop3Server(executor, None, implicit_tls=False))
    password = "good" if "oauth" in method else PASSWORD
    (tmp_path / "rc").write_text(
        f"account x\nhost 127.0.0.1\nport {running.port}\nauth {method}\nuser lisi@benet.com\npassword {password}\n"
        f"tls off\ndelivery mbox {tmp_path}/mbox\nuidls_file {tmp_path}/uidls\naccount default: x\n"
    )
    (tmp_path / "rc").chmod(0o600)
    done = subprocess.run(["mpop", "-C", tmp_path / "rc", "x"], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.program
@pytest.mark.skipif(not which("neomutt"), reason="neomutt is not installed")
def test_neomutt_signs_in_by_scram(imap, benet, tmp_path, caplog):
    account_login.log_in("lisi", PASSWORD, "smtp", "127.0.0.1")
    caplog.set_level("INFO", "mailcore.login")
    client = imap()
    (tmp_path / "rc").write_text(
        f'set folder="imap://lisi@127.0.0.1:{client.port}/"\nset imap_pass="{PASSWORD}"\n'
        'set imap_authenticators="scram-sha-256"\nset ssl_force_tls=no\nset ssl_starttls=no\nset timeout=5\n'
    )
    subprocess.run(
        ["script", "-qec", f"neomutt -n -F {tmp_path}/rc -f =INBOX -R -e 'push <exit>'", "/dev/null"],
        capture_output=True,
        timeout=30,
        env={"HOME": str(tmp_path), "TERM": "xterm", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
    )
    assert "login: service=imap, user=<lisi@benet.com>" in caplog.text
