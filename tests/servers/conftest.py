"""Servers in threads, certificates, and the people of benet.com."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.hashers import make_password

from conversation import Running, Server
from imap_client import ImapRunning
from mailcore.mta.queue import content_files
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.committer import Committer
from mailcore.store import directory

PASSWORD = "123456"
HASH = make_password(PASSWORD)


@pytest.fixture
def benet() -> dict[str, int]:
    """benet.com with xiaoqi, lisi and the group all@; account ids by name."""
    directory.create_domain("benet.com")
    people = {
        name: directory.create_account(f"{name}@benet.com", "", password_hash=HASH) for name in ("xiaoqi", "lisi")
    }
    directory.create_alias("all@benet.com", ["xiaoqi", "lisi"])
    content_files.make_directories()
    return people


@pytest.fixture
def serve(
    monkeypatch: pytest.MonkeyPatch, parameters: Callable[..., None]
) -> Iterator[Callable[[Callable[[Executor], Server]], Running]]:
    """`serve(lambda executor: Server(executor, …))` starts a server; `.dial()` opens a conversation with it."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    parameters(
        myhostname="mail.benet.com",
        mydomain="benet.com",
        mynetworks="",
        smtpd_relay_restrictions="permit_mynetworks permit_sasl_authenticated reject_unauth_destination",
        auth_failure_delay="0",
        smtpd_error_sleep_time="0",
    )
    running: list[Running] = []

    def start(make: Callable[[Executor], Server]) -> Running:
        running.append(Running(make))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def smtp(serve: Callable[..., Running], benet: dict[str, int]) -> Callable[..., Running]:
    """`smtp("submission", context)` starts an SMTP server; the service is "smtp" where none is named."""

    def start(service: str = "smtp", context: ssl.SSLContext | None = None) -> Running:
        return serve(lambda executor: SmtpServer(service, executor, context, Committer(executor)))

    return start


@pytest.fixture
def imap(
    benet: dict[str, int], monkeypatch: pytest.MonkeyPatch, parameters: Callable[..., None]
) -> Iterator[Callable[..., ImapRunning]]:
    """`imap()` starts an IMAP server; options: `context` for TLS, `implicit`."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    parameters(auth_failure_delay="0")
    running: list[ImapRunning] = []

    def start(**options: object) -> ImapRunning:
        running.append(ImapRunning(**options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, context of a client that trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(private + made)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=made.decode())
