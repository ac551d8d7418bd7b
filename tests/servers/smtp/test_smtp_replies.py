"""Every reply in docs/smtp-replies.tsv, provoked; and every reply in the source is in that table."""

import ast
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from conversation import Conversation
from mailcore import rate_counters
from mailcore.mta.queue import content_files
from smtp_talk import offered, plain

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[3]
ROWS = [
    tuple(line.split("\t"))
    for line in (ROOT / "docs" / "smtp-replies.tsv").read_text().splitlines()
    if not line.startswith("#")
]

MAIL = "C: MAIL FROM:<a@other.example>\nS: 250 2.1.0 Ok\n"
RCPT = f"{MAIL}C: RCPT TO:<lisi@benet.com>\nS: 250 2.1.5 Ok\n"
DATA = f"{RCPT}C: DATA\nS: 354 …\n"
AUTH = f"C: AUTH PLAIN {plain('lisi', '123456')}\nS: 235 …\n"

# Row → what is said before it (after EHLO, or LHLO), the last line being answered with it. Words in front of a
# colon set the scene: a service, "raw" for no EHLO, "tls", name=value for a parameter.
CASES: dict[str, str] = {
    "214 2.0.0 Commands: …": "C: HELP",
    "220 …": "raw:",
    "220 2.0.0 Ready to start TLS": "tls: C: STARTTLS",
    "221 2.0.0 Bye": "C: QUIT",
    "221 2.7.0 Error: I can break rules, too. Goodbye.": "C: GET / HTTP/1.0",
    "235 2.7.0 Authentication successful": f"C: AUTH PLAIN {plain('lisi', '123456')}",
    "250 …": "raw:S: 220 …\nC: HELO x",
    "250 Queuing started": "relay_domains=inner.example: C: ETRN inner.example",
    "250 2.0.0 Ok": "C: NOOP",
    "250 2.0.0 Ok: queued as …": f"{DATA}C: .",
    "250 2.0.0 Ok: … bytes": f"{RCPT}C: BDAT 0",
    "250 2.1.0 Ok": "C: MAIL FROM:<>",
    "250 2.1.5 Ok": f"{MAIL}C: RCPT TO:<lisi@benet.com>",
    "252 2.0.0 …": "C: VRFY lisi@benet.com",
    "354 End data with <CR><LF>.<CR><LF>": f"{RCPT}C: DATA",
    "421 4.4.2 … Error: timeout exceeded": "smtpd_timeout=1s: C: NOOP\nS: 250 …",
    "421 4.7.0 … Error: too many connections from …": "raw smtpd_client_connection_count_limit=0"
    " smtpd_client_connection_rate_limit=1 first:",
    "421 4.7.0 … Error: too many errors": "smtpd_hard_error_limit=1: C: X\nS: 500 …",
    "450 4.7.0 <…>: … rejected: defer_if_permit requested": "smtpd_recipient_restrictions=defer_if_permit: R",
    "450 4.7.0 <…>: … rejected: defer_if_reject requested": "smtpd_recipient_restrictions=defer_if_reject,reject: R",
    "450 4.7.1 Error: too many AUTH commands from …": "smtpd_client_auth_rate_limit=1: C: AUTH X\nS: 504 …\nC: AUTH X",
    "450 4.7.1 Error: too many recipients from …": f"smtpd_client_recipient_rate_limit=1: {RCPT}C: RCPT TO:<lisi>",
    "450 4.7.1 Error: too much mail from …": f"smtpd_client_message_rate_limit=1: {MAIL}C: RSET\nS: 250 …\nC: MAIL FROM:<>",
    "450 4.7.1 Error: too many messages from … in one …": "smtpd_sasl_message_hourly_limit=1: "
    + AUTH + f"{DATA}C: .\nS: 250 …\n{DATA}C: .".replace("a@other.example", "lisi@benet.com"),
    "450 4.7.1 Error: too many recipients from … in one …": "smtpd_sasl_recipient_daily_limit=1: "
    + AUTH + f"{DATA}C: .\nS: 250 …\n{DATA}C: .".replace("a@other.example", "lisi@benet.com"),
    "450 4.7.1 Service unavailable": "reject_code=250 smtpd_recipient_restrictions=reject: R",
    "421 4.3.2 … Service shutting down": "shut: C: NOOP\nS: 250 …",
    "451 4.3.0 <…>: Temporary lookup failure": "lost smtpd_recipient_restrictions=check_sender_access,x: R",
    "451 4.3.0 Error: internal error": f"closed direct_delivery=no: {DATA}C: .",
    "451 4.3.0 Error: queue file write error": f"no-queue direct_delivery=no: {DATA}C: .",
    "451 4.3.5 Server configuration error": "smtpd_recipient_restrictions=nonsense: R",
    "452 4.3.1 Insufficient system storage": "queue_minfree=100000000000000000: C: MAIL FROM:<>",
    "452 4.5.3 Error: too many recipients": f"smtpd_recipient_limit=1: {RCPT}C: RCPT TO:<lisi@benet.com>",
    "454 4.7.0 Error: too many new TLS sessions from …": "tls smtpd_client_new_tls_session_rate_limit=1 counted: C: STARTTLS",
    "459 <…>: service unavailable": "C: ETRN other.example",
    "500 Syntax: ETRN domain": "C: ETRN",
    "500 5.5.2 Error: bad UTF-8 syntax": "C: NOOP \udcff",
    "500 5.5.2 Error: bad syntax": "C:",
    "500 5.5.2 Error: command not recognized": "C: XYZZY",
    "501 Error: invalid parameter syntax": "C: ETRN -",
    "501 Syntax: HELO hostname": "C: HELO",
    "501 Syntax: … hostname": "C: EHLO",
    "501 … Bad … address syntax": f"{MAIL}C: RCPT TO:<>",
    "501 5.5.2 Error: malformed authentication response": "C: AUTH PLAIN ????",
    "501 5.5.4 Bad HOLDUNTIL parameter syntax": f"submission: {AUTH}C: MAIL FROM:<> HOLDUNTIL=now",
    "501 5.5.4 Bad message size syntax": "C: MAIL FROM:<> SIZE=much",
    "501 5.5.4 Bad parameter: …": "C: MAIL FROM:<> =",
    "501 5.5.4 Bad … parameter syntax": "C: MAIL FROM:<> RET=ALL",
    "501 5.5.4 Error: Bad NOTIFY parameter syntax": f"{MAIL}C: RCPT TO:<lisi> NOTIFY=SOON",
    "501 5.5.4 Error: Bad ORCPT parameter syntax": f"{MAIL}C: RCPT TO:<lisi> ORCPT=lisi",
    "501 5.5.4 Error: bad xtext": "C: MAIL FROM:<> ENVID=+",
    "501 5.5.4 Error: … is more than … seconds ahead": f"submission: {AUTH}C: MAIL FROM:<> HOLDFOR=999999999",
    "501 5.5.4 Parameter given twice: …": "C: MAIL FROM:<> SIZE=1 SIZE=2",
    "501 5.5.4 Syntax: AUTH mechanism": "C: AUTH",
    "501 5.5.4 Syntax: DATA": f"{RCPT}C: DATA now",
    "501 5.5.4 Syntax: RSET": "C: RSET now",
    "501 5.5.4 Syntax: STARTTLS": "C: STARTTLS now",
    "501 5.5.4 Syntax: VRFY address [SMTPUTF8]": "C: VRFY",
    "501 5.5.4 Syntax: …:<address>": "C: MAIL a@b.example",
    "501 5.7.0 Error: authentication aborted": "C: AUTH PLAIN\nS: 334…\nC: *",
    "502 5.5.1 Error: command not implemented": "C: STARTTLS",
    "502 5.5.1 VRFY command is disabled": "disable_vrfy_command=yes: C: VRFY lisi",
    "503 Error: MAIL transaction in progress": f"{MAIL}C: ETRN inner.example",
    "503 Error: send HELO/EHLO first": "raw:S: 220 …\nC: ETRN inner.example",
    "503 5.5.0 <…>: … rejected: Improper use of SMTP command pipelining": "smtpd_forbid_unauth_pipelining=no"
    " smtpd_recipient_restrictions=reject_unauth_pipelining: C: NOOP\\r\\nNOOP\nS: 250 …\nS: 250 …\nR",
    "503 5.5.1 Error: DATA after BDAT": f"{RCPT}C: BDAT 0\nS: 250 …\nC: DATA",
    "503 5.5.1 Error: MAIL transaction in progress": f"{MAIL}C: AUTH PLAIN =",
    "503 5.5.1 Error: RCPT after BDAT": f"{RCPT}C: BDAT 0\nS: 250 …\nC: RCPT TO:<lisi>",
    "503 5.5.1 Error: already authenticated": f"{AUTH}C: AUTH PLAIN =",
    "503 5.5.1 Error: authentication not enabled": "smtpd_sasl_auth_enable=no: C: AUTH PLAIN =",
    "503 5.5.1 Error: need MAIL command": "C: RCPT TO:<lisi>",
    "503 5.5.1 Error: need RCPT command": "C: DATA",
    "503 5.5.1 Error: nested MAIL command": f"{MAIL}C: MAIL FROM:<>",
    "503 5.5.1 Error: send HELO/EHLO first": "raw smtpd_helo_required=yes:S: 220 …\nC: MAIL FROM:<>",
    "503 5.7.0 Error: access denied for …": "raw smtpd_delay_reject=no smtpd_client_restrictions=reject:S: 554 …\nC: NOOP",
    "504 5.5.4 Error: unsupported authentication mechanism": "C: AUTH XYZZY",
    "521 5.5.4 Syntax: BDAT count [LAST]": "C: BDAT many",
    "530 5.7.0 Authentication required": "submission: C: MAIL FROM:<>",
    "530 5.7.0 Must issue a STARTTLS command first": "smtpd_tls_security_level=encrypt: C: MAIL FROM:<>",
    "535 5.7.8 Error: authentication failed": f"C: AUTH PLAIN {plain('lisi', 'wrong')}",
    "538 5.7.11 Encryption required for requested authentication mechanism": "smtpd_tls_auth_only=yes: C: AUTH PLAIN =",
    "550 5.1.1 <…>: Recipient address rejected: …": "C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<postmaster>",
    "550 5.5.2 Error: bare <LF> or bare <CR> received": f"{DATA}C: a\\rb\nC: .",
    "550 5.5.3 <…>: … rejected: Multi-recipient bounce": "smtpd_recipient_restrictions=reject_multi_recipient_bounce:"
    " C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi>\nS: 250 …\nC: RCPT TO:<xiaoqi>",
    "552 5.3.4 Error: message file too big": f"message_size_limit=110000 long: {DATA}C: .",
    "552 5.3.4 Message size exceeds file system imposed limit": "C: MAIL FROM:<> SIZE=9999999999999999999",
    "552 5.3.4 Message size exceeds fixed limit": "C: MAIL FROM:<> SIZE=99999999",
    "553 5.7.1 <…>: Sender address rejected: not logged in": "smtpd_sender_restrictions=reject_sender_login_mismatch:"
    " C: MAIL FROM:<xiaoqi@benet.com>\nS: 250 …\nC: RCPT TO:<lisi>",
    "553 5.7.1 <…>: Sender address rejected: not owned by user …": f"{AUTH}C: MAIL FROM:<xiaoqi@benet.com>\nS: 250 …\nC: RCPT TO:<lisi>",
    "554 5.4.0 Error: too many hops": f"hopcount_limit=1: {DATA}C: Received: x\nC: Received: x\nC: .",
    "554 5.4.6 mail forwarding loop for …": f"{DATA}C: Delivered-To: lisi@benet.com\nC: .",
    "554 5.5.0 Error: SMTP protocol synchronization": "C: NOOP\\r\\nNOOP",
    "554 5.5.1 Error: TLS already active": "tls: C: STARTTLS\nS: 220 …\nTLS\nC: STARTTLS",
    "554 5.5.1 Error: no valid recipients": f"{MAIL}C: DATA",
    "555 5.5.4 Unsupported option: …": "C: MAIL FROM:<> XYZZY=1",
    "… 4.3.2 <…>: … rejected: Try again later": "smtpd_recipient_restrictions=defer: R",
    "… 5.1.0 <…>: Sender address rejected: …": "smtpd_sender_restrictions=reject_unlisted_sender:"
    " C: MAIL FROM:<nobody@benet.com>\nS: 250 …\nC: RCPT TO:<lisi>",
    "… 5.5.2 <…>: Helo command rejected: Invalid name": "helo=-x smtpd_helo_restrictions=reject_invalid_helo_hostname: R",
    "… 5.5.2 <…>: Helo command rejected: invalid ip address": "helo=[x] smtpd_helo_restrictions=reject_invalid_helo_hostname: R",
    "… 5.5.2 <…>: Helo command rejected: need fully-qualified hostname": "helo=x smtpd_helo_restrictions=reject_non_fqdn_helo_hostname: R",
    "… 5.5.2 <…>: … rejected: need fully-qualified address": "smtpd_sender_restrictions=reject_non_fqdn_sender:"
    " C: MAIL FROM:<a>\nS: 250 …\nC: RCPT TO:<lisi>",
    "… 5.7.1 <…>: … rejected: Access denied": "smtpd_recipient_restrictions=reject: R",
    "… … <…>: Relay access denied": "C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<a@far.example>",
    "… 5.7.1 Session encryption is required": "smtpd_recipient_restrictions=reject_plaintext_session: R",
}  # fmt: skip

# Rows that need a name server to be provoked.
ELSEWHERE = {
    "421 4.7.0 … Error: …": "test_the_oldest_is_dropped_and_those_who_sign_in_stay",
    "454 4.7.0 Temporary authentication failure: …": "test_many_connections_guess_no_faster_than_one",
    "450 4.4.4 <…>: Recipient address rejected: Unable to look up mail host": "test_a_backup_for_those_who_say_so",
    "450 4.7.1 <…>: allowlist lookup error: …": "test_what_the_dns_says",
    "… 5.7.1 Client host rejected: cannot find your reverse hostname, […]": "test_keywords",
    "… 5.7.25 Client host rejected: cannot find your hostname, […]": "test_keywords",
}


@pytest.fixture(autouse=True)
def no_counters() -> None:
    rate_counters.reset()


@pytest.mark.parametrize("row", CASES)
def test_it_is_said(request, smtp, parameters, certificate, row):
    scene, transcript = _parted(CASES[row])
    values = dict(word.split("=", 1) for word in scene if "=" in word)
    helo = values.pop("helo", "x.example")
    running = smtp("submission" if "submission" in scene else "smtp", certificate[0] if "tls" in scene else None)
    parameters(**values)
    if "first" in scene:
        running.dial().hear()
    if "counted" in scene:
        running.dial().talk("S: 220 …\nC: HELO x\nS: 250 …\nC: STARTTLS\nS: 220 …")
    client = running.dial()
    if "raw" not in scene:
        client.hear()
        offered(client, f"EHLO {helo}")
    if "lost" in scene:
        request.getfixturevalue("lost_table")
    *before, last = transcript
    for line in before:
        _play(client, line, certificate[1])
    if "no-queue" in scene:
        content_files.settings.QUEUE_ROOT.rename(f"{content_files.settings.QUEUE_ROOT}.gone")
    if "closed" in scene:
        running.executor.close()
    if "long" in scene:
        client.send(b"x" * 120_000 + b"\r\n")
    _play(client, last, certificate[1])
    if "shut" in scene:
        for session in list(running.server.sessions):
            running.loop.call_soon_threadsafe(session.close_when_idle)
    heard = client.hear()
    assert re.fullmatch(_pattern(row), heard), heard


@pytest.fixture
def lost_table() -> Iterator[None]:
    """The database does not find the lookup tables."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE mailcore_accessentry RENAME TO mailcore_lost")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE mailcore_lost RENAME TO mailcore_accessentry")


def _parted(case: str) -> tuple[list[str], list[str]]:
    """(words that set the scene, lines of the transcript)."""
    if case.startswith(("C:", "S:")):
        return [], case.split("\n")
    scene, _, transcript = case.partition(":")
    return scene.split(), transcript.lstrip(" ").split("\n")


def _play(client: Conversation, line: str, context: ssl.SSLContext) -> None:
    if line == "TLS":
        client.start_tls(context)
        offered(client)
    elif line == "R":
        client.talk(f"{MAIL}C: RCPT TO:<lisi@benet.com>")
    elif line.startswith("C:"):
        text = line[2:].removeprefix(" ").replace("\\r", "\r").replace("\\n", "\n")
        client.say(text.encode("utf-8", "surrogateescape"))
    else:
        client.talk(line)


def _pattern(row: str) -> str:
    """A row as a regular expression. Where the code is a parameter's, the status begins as it does."""
    code, _, text = row.partition(" ")
    if code == "…":
        text = re.sub(r"^[245]\.", ".\\.", re.escape(text).replace("\\.", "."))
    pattern = re.escape(f"{code} ") + (text if code == "…" else re.escape(text))
    return pattern.replace("…", ".*")


def test_every_row_has_its_case():
    rows = {" ".join(filter(None, row)) for row in ROWS}
    assert rows == {*CASES, *ELSEWHERE}


def test_every_reply_in_the_source_is_a_row():
    rows = {" ".join(filter(None, row)) for row in ROWS}
    said = {" ".join(filter(None, reply)) for path in _sources() for reply in _replies(ast.parse(path.read_text()))}
    assert {reply for reply in said if not reply.startswith(("… … …", "… …… …"))} - rows == set()


def _sources() -> Iterator[Path]:
    yield from (ROOT / "mailcore/servers/smtp").glob("*.py")
    yield from (ROOT / "mailcore/mta/policy/restrictions").glob("*.py")
    yield from (
        ROOT / "mailcore" / name
        for name in ("mta/policy/accept.py", "mta/queue/sending_limits.py", "wire/smtp_commands.py")
    )


def _replies(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Each (code, enhanced status, text) that is written down, … for what is not."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        words = [_text(argument) for argument in call.args]
        if name in ("Reply", "reject", "defer_if_permit", "defer_if_reject") and len(words) == 3:
            if words[2] != "…":
                yield words[0], words[1], words[2]
        elif name == "SyntaxFault":
            yield words[2] if len(words) > 2 else "501", words[0], words[1]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"
