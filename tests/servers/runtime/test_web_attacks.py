"""The web side under people who have not signed in: slow bodies and headers, uploads, forged headers. Real sockets."""

import contextlib
import http.client
import imaplib
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from tests.servers.runtime.test_supervisor import ROOT, System, pids

SLOW = 40  # connections; a web process has 8 threads


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., System]]:
    """`running(BEHIND_PROXY="true")`: a system with such an environment, one for all tests."""
    systems: dict[str, System] = {}

    def start(**environment: str) -> System:
        key = repr(environment)
        if key not in systems:
            folder = tmp_path_factory.mktemp("web")
            services = {f"{name}_PORT": "" for name in ("LMTP", "SUBMISSIONS", "POP3", "POP3S", "IMAPS")}
            systems[key] = System(
                folder, "--demo", "--json", MAIL_SERVER_PROCESSES="1", MAIL_WEB_PROCESSES="1", **services, **environment
            )
            systems[key].await_ready()
        return systems[key]

    yield start
    for system in systems.values():
        system.stop()


@pytest.fixture
def system(running) -> System:
    return running(MAIL_WEB_REQUEST_TIME_LIMIT="600s")


def web(system: System) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", system.ports["web"], timeout=60)


def status(system: System, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    connection = web(system)
    connection.request(method, path, body, {name.replace("__", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def raw(system: System, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", system.ports["web"]), 60)
    connection.sendall(data)
    return connection


def closed(connection: socket.socket) -> bool:
    """Wait for the server; True if it closes without a word."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(100) == b""
    return True


def signed_in(system: System) -> tuple[str, str]:
    """(cookies, CSRF token) of 李四."""
    connection = web(system)
    connection.request("GET", "/login/")
    answer = connection.getresponse()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', answer.read().decode())[1]
    assert "secure" not in answer.headers["Set-Cookie"].lower()  # The demo, without TLS.
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    form = {"username": "lisi@benet.com", "password": "123456", "csrfmiddlewaretoken": token}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    connection.request("POST", "/login/", urllib.parse.urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 302
    cookies = [each.partition(";")[0] for each in answer.headers.get_all("Set-Cookie")]
    found = {each.partition("=")[0]: each for each in [cookie, *cookies]}
    return "; ".join(found.values()), found["csrftoken"].partition("=")[2]


@pytest.mark.parametrize(
    "start",
    [
        b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nu",
        b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nu\r\n",
        b"POST /api/v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n",
        b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"",
    ],
)
def test_slow_connections_stop_nobody_else(system, start):
    slow = [raw(system, start) for _ in range(SLOW)]
    assert status(system, "GET", "/login/")[0] == 200
    assert status(system, "GET", "/healthz")[0] == 200
    for connection in slow:
        connection.close()


@pytest.mark.parametrize("start", [b"Content-Length: 1000\r\n\r\nu", b"X-Slow: "])
def test_slow_requests_end(running, start):
    system = running(MAIL_WEB_REQUEST_TIME_LIMIT="1s")
    connection = raw(system, b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + start)
    answer = b""
    while piece := connection.recv(65536):  # until the server closes
        answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""


def test_an_address_has_a_limit_of_connections(running):
    """The oldest idle one makes room; a request under way is finished."""
    system = running(MAIL_WEB_CONNECTION_LIMIT="20", MAIL_WEB_REQUEST_TIME_LIMIT="600s")
    head = b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    working = raw(system, head)
    assert working.recv(100).startswith(b"HTTP/1.1 100 ")
    idle = [raw(system, b"GET /lo" if number % 2 else b"") for number in range(40)]
    for connection in idle[:21]:
        assert closed(connection)
    assert status(system, "GET", "/login/")[0] == 200
    assert closed(idle[21])
    working.sendall(b"x")
    assert working.recv(100).startswith(b"HTTP/1.1 403 ")
    for connection in (working, *idle):
        connection.close()


def test_a_proxy_has_no_limit_of_connections(running):
    system = running(BEHIND_PROXY="true", MAIL_WEB_CONNECTION_LIMIT="20")
    connections = [raw(system, b"") for _ in range(40)]
    for connection in connections:
        connection.sendall(b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        connection.close()


@pytest.mark.parametrize("limit", ["1s", "600s"], ids=["dropped", "limited"])
def test_who_does_not_read_stops_nobody_else(running, limit):
    """A folder that is exported is streamed, and its thread waits for the client."""
    system = running(MAIL_WEB_REQUEST_TIME_LIMIT=limit)
    with imaplib.IMAP4("127.0.0.1", system.ports["imap"]) as mail:
        mail.login("lisi", "123456")
        for _ in range(3):
            mail.append("Archive", "", "", b"Subject: large\r\n\r\n" + b"x" * 70 * 100_000)
    cookies, _token = signed_in(system)
    request = f"GET /transfer/export?in=Archive&as=mbox HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n\r\n"
    unread = [raw(system, request.encode()) for _ in range(SLOW)]
    for _ in range(SLOW):
        assert status(system, "GET", "/login/")[0] == 200
    for connection in unread:
        connection.close()


@pytest.mark.parametrize(
    "path", ["/login/", "/compose/", "/transfer/", "/admin/aliases/import", "/nowhere", "/api/v1/x"]
)
def test_large_bodies_of_strangers_are_refused_unread(system, path):
    announced = raw(system, f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\n\r\n".encode())
    assert announced.recv(65536).startswith(b"HTTP/1.1 413 ")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nCookie: sessionid=guess\r\n\r\n"
    unannounced = raw(system, head.encode() + chunk * 2)
    assert unannounced.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("piece", [b"X-A: b\r\n", b"X-A: " + b"b" * 10_000 + b"\r\n", b"b" * 10_000])
def test_a_header_without_end_is_cut_off(system, piece):
    """Headers are held in memory, and 200 connections of an address send as many as they like in 30 seconds."""
    connection = raw(system, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(2_000_000 // len(piece)):
            connection.sendall(piece)
        while connection.recv(65536):
            pass
    large = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {'b' * 60_000}\r\n\r\n"
    assert raw(system, large.encode() * 3).recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_failed_login_is_answered_late_and_holds_no_thread(running):
    """Else one connection guesses, or is refused, as fast as pages are rendered."""
    system = running(MAIL_AUTH_FAILURE_DELAY="5s", MAIL_AUTH_FAILURE_LIMIT="0")
    connection = web(system)
    connection.request("GET", "/login/")
    answer = connection.getresponse()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', answer.read().decode())[1]
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    fields = urllib.parse.urlencode({"username": "xiaoqi", "password": "guess", "csrfmiddlewaretoken": token})
    head = (
        f"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(fields)}\r\n\r\n"
    )
    guesses = [raw(system, (head + fields).encode()) for _ in range(SLOW)]
    head = "GET /api/v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer guess\r\n\r\n"
    guesses.append(raw(system, head.encode()))
    assert signed_in(system)
    assert not select.select(guesses, [], [], 0)[0]
    for guess in guesses:
        assert guess.recv(100).startswith(b"HTTP/1.1 401 ")
        guess.close()


def form(token: str, field: str, size: int, name: str = "") -> tuple[bytes, str]:
    file = f'; filename="{name}"' if name else ""
    parts = (("csrfmiddlewaretoken", "", token), (field, file, "x" * size))
    text = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"{f}\r\n\r\n{v}\r\n' for n, f, v in parts)
    return f"{text}--b--\r\n".encode(), "multipart/form-data; boundary=b"


def test_files_are_taken_only_where_a_page_takes_them(system):
    cookies, token = signed_in(system)
    more = {"Cookie": cookies, "Referer": f"http://127.0.0.1:{system.ports['web']}/", "X-CSRFToken": token}

    def send(path: str, size: int, name: str = "") -> int:
        body, kind = form(token, "file", size, name)
        connection = web(system)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            connection.request("POST", path, body, {**more, "Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert send("/options/view", 1000, "x.txt") == 400
    assert send("/login/", 1000, "x.txt") == 400
    assert send("/options/view", 3_000_000) == 413
    assert send("/transfer/", 3_000_000, "x.mbox") in (302, 422)


def test_the_longest_time_of_a_body_grows_with_what_came(system):
    cookies, token = signed_in(system)
    body, kind = form(token, "file", 500_000, "x.eml")
    head = (
        f"POST /transfer/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = raw(system, head.encode())
    for at in range(0, len(body), 50_000):
        connection.sendall(body[at : at + 50_000])
    assert re.match(rb"HTTP/1.1 (302|422) ", connection.recv(65536))


def test_a_header_name_with_an_underscore_says_nothing_about_the_client(running):
    system = running(BEHIND_PROXY="true")
    assert status(system, "GET", "/login/")[0] == 400
    assert status(system, "GET", "/login/", X_Forwarded_For="192.0.2.9")[0] == 400
    assert status(system, "GET", "/login/", X__Forwarded__For="192.0.2.9")[0] == 200
    assert status(system, "GET", "/healthz")[0] == 200
    connection = web(system)
    connection.request("GET", "/login/", headers={"X-Forwarded-For": "192.0.2.7"})
    answer = connection.getresponse()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', answer.read().decode())[1]
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": answer.headers["Set-Cookie"].partition(";")[0],
        "X_Forwarded_For": "203.0.113.1",
        "X-Forwarded-For": "192.0.2.7",
    }
    fields = {"username": "lisi@benet.com", "password": "123456", "csrfmiddlewaretoken": token}
    connection.request("POST", "/login/", urllib.parse.urlencode(fields), headers)
    assert connection.getresponse().status == 302
    database = Path(system.environment["DATA_DIR"], "youju.sqlite3")
    query = "SELECT address FROM mailcore_knownaddress"
    code = f"import sqlite3; print(*[r[0] for r in sqlite3.connect({str(database)!r}).execute({query!r})])"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "192.0.2.7" in known
    assert "203.0.113.1" not in known


# --- Settings -------------------------------------------------------------------------------------


def manage(system: System, *words: str) -> None:
    subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=system.environment, check=True)


def test_web_processes_hear_that_a_parameter_changed(system):
    assert "name@changed.example" not in status(system, "GET", "/login/", Accept__Language="en")[1]
    manage(system, "postconf", "-e", "mydomain=changed.example")
    wait_until(lambda: "name@changed.example" in status(system, "GET", "/login/", Accept__Language="en")[1])


def test_sighup_reaches_web_processes(system):
    """A row written without a notification."""
    code = (
        "import django; django.setup(); from mailcore.models import Setting;"
        "Setting.objects.update_or_create(name='mydomain', defaults={'value': 'quiet.example'})"
    )
    environment = {**system.environment, "DJANGO_SETTINGS_MODULE": "mailcore.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert "name@quiet.example" not in status(system, "GET", "/login/", Accept__Language="en")[1]
    system.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "name@quiet.example" in status(system, "GET", "/login/", Accept__Language="en")[1])
    system.await_log("web: reloaded")
    assert pids(system)["web-1"]
