"""Other people's programs at our door: swaks, smtp-source, and Postfix as a neighbour and as a submitter."""

import select
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from mailcore.models import Queued, Recipient
from mailcore.mta.workers.courier import Courier
from mailcore.store.notify import notifications
from smtp_talk import messages
from tests.programs.conftest import Postfix, postfix  # noqa: F401  (fixture)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.program]

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def ran(name: str, *arguments: str) -> str:
    """Run a program that must succeed and return its output."""
    program = shutil.which(name, path=PATH)
    if program is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("encryption", ["", "--tls", "--tls-on-connect"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("name", ["lisi", "lisi@benet.com"])
def test_swaks_signs_in(smtp, certificate, encryption, mechanism, name):
    running = smtp("submissions" if encryption == "--tls-on-connect" else "submission", certificate[0])
    said = ran(
        *("swaks", "--server", f"127.0.0.1:{running.port}", *filter(None, [encryption]), "--auth", mechanism),
        *("--auth-user", name, "--auth-password", "123456", "--from", "lisi@benet.com", "--to", "xiaoqi@benet.com"),
    )
    assert "235 2.7.0 Authentication successful" in said
    assert Queued.objects.get().protocol == ("ESMTPSA" if encryption else "ESMTPA")


@pytest.mark.parametrize("options", [["--protocol", "SMTP"], ["--pipeline"], ["--protocol", "ESMTP", "--tls"]])
def test_swaks_as_a_stranger(smtp, certificate, options):
    running = smtp(context=certificate[0])
    ran(
        "swaks",
        "--server",
        f"127.0.0.1:{running.port}",
        "--from",
        "a@other.example",
        "--to",
        "lisi@benet.com",
        *options,
    )
    Courier().run_until_idle()
    assert len(messages("lisi")) == 1


def test_swaks_by_lmtp(smtp):
    running = smtp("lmtp")
    ran(
        *("swaks", "--server", f"127.0.0.1:{running.port}", "--protocol", "LMTP", "--from", "a@other.example"),
        *("--to", "lisi@benet.com,xiaoqi@benet.com"),
    )
    Courier().run_until_idle()
    assert (len(messages("lisi")), len(messages("xiaoqi"))) == (1, 1)


def test_swaks_behind_a_proxy(smtp, parameters):
    parameters(smtpd_upstream_proxy_protocol="haproxy", smtpd_upstream_proxy_networks="127.0.0.1")
    parameters(smtpd_peername_lookup="no", direct_delivery="no")
    running = smtp()
    ran(
        *("swaks", "--server", f"127.0.0.1:{running.port}", "--from", "a@other.example", "--to", "lisi@benet.com"),
        *(
            "--proxy-version",
            "2",
            "--proxy-family",
            "AF_INET",
            "--proxy-protocol",
            "STREAM",
            "--proxy-command",
            "PROXY",
        ),
        *("--proxy-source", "192.0.2.7", "--proxy-source-port", "4711"),
        *("--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25"),
    )
    assert Queued.objects.get().client_address == "192.0.2.7"


@pytest.mark.parametrize("again", [[], ["-d"]])
def test_fifty_at_once(smtp, again):
    """smtp-source, with a connection for each message and with connections that are used again."""
    running = smtp()
    sender = ["-f", "a@other.example", "-t", "lisi@benet.com", "-s", "50", "-m", "500", "-l", "4096"]
    ran("smtp-source", *again, *sender, f"127.0.0.1:{running.port}")
    Courier().run_until_idle()
    assert len(messages("lisi")) == 500


@pytest.fixture
def neighbour(postfix: Postfix, parameters) -> Iterator[Callable[[str], Postfix]]:  # noqa: F811
    """`neighbour("relayhost = …")`: a Postfix with this configuration, at work."""
    parameters(direct_delivery="no")  # our queue's bell is how a test hears of a message

    def start(main_cf: str) -> Postfix:
        with (postfix.folder / "main.cf").open("a") as file:
            file.write(f"maillog_file_prefixes = {postfix.folder}\nmaillog_file = {postfix.folder}/data/log\n{main_cf}")
        started = postfix("postfix", "start")
        if started.status != 0:
            pytest.skip(f"Postfix does not start: {started.err}")
        return postfix

    yield start
    postfix("postfix", "stop")


@pytest.fixture
def bell() -> Iterator[Callable[[], None]]:
    """Waits until a message is in our queue."""
    hearing = notifications.open_listener(notifications.COURIERS)

    def wait() -> None:
        assert select.select([hearing], [], [], 60)[0]

    yield wait
    notifications.close_listener(hearing, notifications.COURIERS)


def test_postfix_hands_over_by_lmtp(smtp, neighbour, bell):
    running = smtp("lmtp")
    sender = neighbour(f"local_transport = lmtp:inet:127.0.0.1:{running.port}\nlocal_recipient_maps =\n")
    sent = sender("sendmail", "-f", "a@other.example", "lisi@benet.com", stdin="Subject: by Postfix\n\nx\n")
    assert sent.status == 0, sent.err
    bell()
    Courier().run_until_idle()
    assert b"\r\nSubject: by Postfix\r\n" in messages("lisi")[0]
    assert Queued.objects.get().protocol == "LMTP"


def test_postfix_signs_in_to_relay(smtp, certificate, neighbour, bell):
    running = smtp("submission", certificate[0])
    sender = neighbour(
        f"relayhost = [127.0.0.1]:{running.port}\ndefault_transport = smtp\nsmtp_tls_security_level = encrypt\n"
        "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = static:lisi:123456\nsmtp_sasl_security_options =\n"
        "smtp_sasl_tls_security_options =\nsmtp_sasl_mechanism_filter = plain, login\n"
    )
    sent = sender("sendmail", "-f", "lisi@benet.com", "friend@far.example", stdin="Subject: by Postfix\n\nx\n")
    assert sent.status == 0, sent.err
    bell()
    row = Queued.objects.get()
    assert (row.login, row.protocol) == ("lisi@benet.com", "ESMTPSA")
    assert Recipient.objects.get().address == "friend@far.example"
