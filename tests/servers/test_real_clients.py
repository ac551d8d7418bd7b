"""Mail programs that people use, against our IMAP and POP3 servers: what they fetch, and what they change."""

import asyncio
import mailbox
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from aioimaplib import IMAP4
from imap_tools import AND, MailBoxUnencrypted, MailMessageFlags

from conversation import Running
from imap_client import ImapRunning, Mailer
from mailcore.servers.pop3.session import Pop3Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.program]

MESSAGES = [b"From: a@example.com\r\nSubject: %d\r\n\r\n.dot\r\nFrom me\r\n\xe4\xbd\xa0\r\n" % n for n in range(3)]
TEXTS = [message.replace(b"\r\n", b"\n") for message in MESSAGES]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not which(program), reason=f"{program} is not installed")


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    client = running.dial().sign_in()
    for message in MESSAGES:
        client.append(message)
    client.do("SELECT INBOX")
    return client


@pytest.fixture
def pop3(serve) -> Running:
    return serve(lambda executor: Pop3Server(executor, None, implicit_tls=False))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """`run("mbsync", …)` with a home of its own; it must succeed."""

    def start(*words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        env = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm", "LANG": "C.UTF-8"}
        done = subprocess.run(
            list(map(str, words)), input=stdin, capture_output=True, timeout=60, env=env, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return start


def settings(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings"
    path.write_text(text)
    path.chmod(0o600)
    return path


def subjects(client: Mailer, name: str = "INBOX") -> list[bytes]:
    client.do(f"SELECT {name}")
    found = client.do("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
    return [response.split(b"Subject: ")[1].split(b"\r\n")[0] for response in found if b"Subject: " in response]


def flags(client: Mailer, number: int) -> bytes:
    return client.do(f"FETCH {number} FLAGS")[0].partition(b"FLAGS ")[2]


@needs("mbsync")
def test_mbsync_both_ways(lisi, running, run, tmp_path):
    lisi.do("CREATE &XeVPXA-")
    rc = settings(tmp_path, f"""\
IMAPStore there
Host 127.0.0.1
Port {running.port}
User lisi
Pass 123456
SSLType None
AuthMechs LOGIN

MaildirStore here
Path {tmp_path}/here/
Inbox {tmp_path}/here/INBOX
SubFolders Verbatim

Channel all
Far :there:
Near :here:
Patterns *
Create Both
Expunge Both
SyncState *
""")  # fmt: skip
    (tmp_path / "here").mkdir()
    run("mbsync", "-c", rc, "-a")
    here = mailbox.Maildir(tmp_path / "here" / "INBOX", create=False)
    assert sorted(message["Subject"] for message in here) == ["0", "1", "2"]
    assert (tmp_path / "here" / "&XeVPXA-").is_dir()
    # One is flagged here, one deleted, one comes; another is flagged there.
    by_subject = {message["Subject"]: key for key, message in here.items()}
    flagged = here[by_subject["0"]]
    flagged.set_subdir("cur")
    flagged.set_flags("FS")
    here[by_subject["0"]] = flagged
    here.discard(by_subject["1"])
    here.add(b"Subject: mine\n\nwritten here\n")
    lisi.do("STORE 3 +FLAGS (\\Answered)")
    run("mbsync", "-c", rc, "-a")
    assert subjects(lisi) == [b"0", b"2", b"mine"]
    assert {b"\\Flagged", b"\\Seen"} <= set(flags(lisi, 1).strip(b"()").split())
    assert {message["Subject"]: message.get_flags() for message in here}["2"] == "R"
    run("mbsync", "-c", rc, "-a")
    assert subjects(lisi) == [b"0", b"2", b"mine"]


@needs("offlineimap")
def test_offlineimap_both_ways(lisi, running, run, tmp_path):
    rc = settings(tmp_path, f"""\
[general]
accounts = lisi
[Account lisi]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = {tmp_path}/here
[Repository there]
type = IMAP
remotehost = 127.0.0.1
remoteport = {running.port}
remoteuser = lisi
remotepass = 123456
ssl = no
starttls = no
auth_mechanisms = PLAIN, LOGIN
""")  # fmt: skip
    run("offlineimap", "-c", rc, "-o", "-u", "basic")
    here = mailbox.Maildir(tmp_path / "here" / "INBOX", create=False)
    assert sorted(message["Subject"] for message in here) == ["0", "1", "2"]
    here.add(b"Subject: mine\n\nwritten here\n")
    here.discard(next(key for key, message in here.items() if message["Subject"] == "1"))
    run("offlineimap", "-c", rc, "-o", "-u", "basic")
    assert subjects(lisi) == [b"0", b"2", b"mine"]


@needs("fetchmail")
@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
def test_fetchmail(lisi, running, pop3, run, tmp_path, protocol):
    port = running.port if protocol == "IMAP" else pop3.port
    rc = settings(
        tmp_path,
        f"poll 127.0.0.1 protocol {protocol} port {port} auth password\n"
        f'user "lisi" password "123456" sslproto "" mda "cat >> {tmp_path}/got" fetchall nokeep\n',
    )
    run("fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-v")
    got = (tmp_path / "got").read_bytes()
    assert [got.count(b"Subject: %d\n" % n) for n in range(3)] == [1, 1, 1]
    assert got.count(b"\n.dot\nFrom me\n\xe4\xbd\xa0\n") == 3
    assert subjects(lisi) == []


@needs("getmail")
@pytest.mark.parametrize("retriever", ["SimplePOP3Retriever", "SimpleIMAPRetriever"])
def test_getmail(lisi, running, pop3, retriever):
    port = running.port if "IMAP" in retriever else pop3.port
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for part in ("tmp", "new", "cur"):
            (home / "here" / part).mkdir(parents=True)
        (home / "rc").write_text(
            f"[retriever]\ntype = {retriever}\nserver = 127.0.0.1\nport = {port}\nusername = lisi\n"
            f"password = 123456\n[destination]\ntype = Maildir\npath = {home}/here/\n"
            "[options]\ndelete = true\ndelivered_to = false\nreceived = false\n"
        )
        user = group = None
        if os.geteuid() == 0:  # it refuses to deliver as root
            user, group = "nobody", "nogroup"
            for path in (home, *home.rglob("*")):
                shutil.chown(path, user)
        words = ["getmail", "--getmaildir", name, "--rcfile", "rc", "-v"]
        done = subprocess.run(
            words,
            capture_output=True,
            timeout=60,
            user=user,
            group=group,
            extra_groups=[] if user else None,
            env={**os.environ, "HOME": name},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        got = [path.read_bytes() for path in (home / "here" / "new").iterdir()]
        bodies = [content.partition(b"\n\n")[2] for content in got]  # it adds a header or two of its own
        assert bodies == [TEXTS[0].partition(b"\n\n")[2]] * 3
    assert subjects(lisi) == []


@needs("mpop")
def test_mpop(lisi, pop3, run, tmp_path):
    rc = settings(
        tmp_path,
        f"account x\nhost 127.0.0.1\nport {pop3.port}\nauth user\nuser lisi\npassword 123456\ntls off\nkeep off\n"
        f"received_header off\ndelivery mbox {tmp_path}/got\nuidls_file {tmp_path}/uidls\naccount default: x\n",
    )
    run("mpop", "-C", rc)
    assert [message["Subject"] for message in mailbox.mbox(tmp_path / "got")] == ["0", "1", "2"]
    assert subjects(lisi) == []


@needs("curl")
def test_curl(lisi, running, pop3, run, tmp_path):
    there, drop = f"imap://127.0.0.1:{running.port}", f"pop3://127.0.0.1:{pop3.port}"
    assert run("curl", "-sS", "-u", "lisi:123456", f"{there}/INBOX;UID=2").stdout == MESSAGES[1]
    assert b"Archive" in run("curl", "-sS", "-u", "lisi:123456", there).stdout
    assert run("curl", "-sS", "-u", "lisi:123456", f"{there}/INBOX?SUBJECT%202").stdout.strip() == b"* SEARCH 3"
    (tmp_path / "message").write_bytes(b"Subject: up\r\n\r\nx\r\n")
    run("curl", "-sS", "-u", "lisi:123456", "-T", tmp_path / "message", f"{there}/Archive")
    assert subjects(lisi, "Archive") == [b"up"]
    assert run("curl", "-sS", "-u", "lisi:123456", f"{drop}/3").stdout == MESSAGES[2]
    run("curl", "-sS", "-u", "lisi:123456", "-X", "DELE", "--head", f"{drop}/1")
    assert subjects(lisi) == [b"1", b"2"]


@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt_flags_copies_and_deletes(lisi, running, run, tmp_path, program):
    if not (which(program) and which("script")):
        pytest.skip(f"{program} or script is not installed")
    rc = settings(
        tmp_path,
        f'set imap_user=lisi\nset imap_pass=123456\nset folder="imap://127.0.0.1:{running.port}/"\nset spoolfile=+INBOX\n'
        "set ssl_starttls=no\nset ssl_force_tls=no\nset delete=yes\nset quit=yes\nset confirmappend=no\nset wait_key=no\n"
        "set sort=mailbox-order\nset timeout=5\nset resolve=no\n",
    )
    keys = "<first-entry><flag-message><next-entry><copy-message>=Archive<enter><last-entry><delete-message><quit>"
    run("script", "-qec", f"{program} -n -F {rc} -e 'push \"{keys}\"'", "/dev/null")
    assert subjects(lisi, "Archive") == [b"1"]
    assert subjects(lisi) == [b"0", b"1"]
    assert b"\\Flagged" in flags(lisi, 1)


def test_imaplib_and_poplib(lisi, running, pop3):
    import imaplib
    import poplib

    with imaplib.IMAP4("127.0.0.1", running.port) as client:
        client.login("lisi", "123456")
        assert client.select("INBOX") == ("OK", [b"3"])
        assert client.fetch("2", "(RFC822)")[1][0][1] == MESSAGES[1]
        client.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
        assert client.expunge() == ("OK", [b"1"])
    drop = poplib.POP3("127.0.0.1", pop3.port)
    drop.user("lisi")
    drop.pass_("123456")
    assert drop.stat()[0] == 2
    assert b"\r\n".join(drop.retr(1)[1]) + b"\r\n" == MESSAGES[1]
    drop.dele(1)
    drop.quit()
    assert subjects(lisi) == [b"2"]


def test_imap_tools(lisi, running):
    with MailBoxUnencrypted("127.0.0.1", running.port).login("lisi", "123456") as box:
        assert [message.subject for message in box.fetch(mark_seen=False)] == ["0", "1", "2"]
        [found] = box.fetch(AND(subject="1"), bulk=True)
        assert "你" in found.text
        assert box.flag(found.uid, MailMessageFlags.FLAGGED, value=True)[0][0][0] == "OK"
        box.folder.create("项目")
        assert box.folder.exists("项目")
        box.move(found.uid, "项目")
        box.append(MESSAGES[0], "项目", flag_set=[MailMessageFlags.SEEN])
        assert box.folder.status("项目")["MESSAGES"] == 2
        box.delete(box.uids(AND(subject="0")))
        box.idle.start()
        lisi.append(MESSAGES[2])
        assert any(b"EXISTS" in line for line in box.idle.poll(timeout=10))
        box.idle.stop()
        assert box.numbers() == ["1", "2"]
    assert subjects(lisi) == [b"2", b"2"]
    assert subjects(lisi, "&mHl27g-") == [b"1", b"0"]
    assert b"\\Flagged" in flags(lisi, 1)


def test_aioimaplib(lisi, running):
    async def talk() -> None:
        client = IMAP4(host="127.0.0.1", port=running.port, timeout=10)
        await client.wait_hello_from_server()
        assert (await client.login("lisi", "123456")).result == "OK"
        assert (await client.select("INBOX")).result == "OK"
        assert (await client.search("SUBJECT 1")).lines[0] == b"2"
        assert bytes((await client.fetch("2", "BODY.PEEK[]")).lines[1]) == MESSAGES[1]
        assert (await client.store("1", "+FLAGS", "(\\Deleted)")).result == "OK"
        assert (await client.expunge()).lines[0] == b"1 EXPUNGE"
        idling = await client.idle_start(timeout=20)
        await asyncio.to_thread(lisi.append, MESSAGES[0])
        assert b"3 EXISTS" in await client.wait_server_push()
        client.idle_done()
        await asyncio.wait_for(idling, 10)
        assert (await client.move("1", "Trash")).result == "OK"
        await client.logout()

    asyncio.run(talk())
    assert subjects(lisi) == [b"2", b"0"]
    assert subjects(lisi, "Trash") == [b"1"]
