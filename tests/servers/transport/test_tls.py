"""Certificates: by the name a client asks for, and renewed without a restart."""

import datetime
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mailcore.servers.transport import tls
from mailcore.store.settings import lookup_tables

pytestmark = pytest.mark.django_db


def issue(folder: Path, name: str) -> Path:
    """One PEM file with key and certificate for a host name."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def shown(
    certificates: tls.Certificates,
    name: str | None,
    version: ssl.TLSVersion | None = None,
    *,
    own: Path | None = None,
    seen: list[bytes | None] | None = None,
) -> str:
    """Return the name on the certificate that a client sees that asks for `name`.

    With `own` the client has one, too; what the server sees of it is added to `seen`.
    """
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    if version is not None:
        client_context.maximum_version = version
    if own is not None:
        client_context.load_cert_chain(own)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = certificates.context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    if seen is not None:
        seen.append(server.getpeercert(binary_form=True))
    theirs = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
    return str(theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def test_each_name_has_its_certificate(tmp_path, parameters):
    parameters(smtpd_tls_cert_file=str(issue(tmp_path, "mail.benet.com")))
    lookup_tables.add_entries(
        "sni",
        {
            "mail.accp.com": str(issue(tmp_path, "mail.accp.com")),
            ".accp.com": str(issue(tmp_path, "any.accp.com")),
        },
        overwrite=True,
    )
    certificates = tls.Certificates()
    assert shown(certificates, "mail.accp.com") == "mail.accp.com"
    assert shown(certificates, "MAIL.ACCP.COM") == "mail.accp.com"
    assert shown(certificates, "imap.accp.com") == "any.accp.com"
    assert shown(certificates, "somebody.else.org") == "mail.benet.com"
    assert shown(certificates, None) == "mail.benet.com"


def test_a_renewed_file_is_in_force_at_the_next_handshake(tmp_path, parameters, monkeypatch):
    monkeypatch.setattr(tls, "_CHECK_INTERVAL", -1.0)
    path = issue(tmp_path, "old.benet.com")
    parameters(smtpd_tls_cert_file=str(path))
    certificates = tls.Certificates()
    assert shown(certificates, "mail.benet.com") == "old.benet.com"
    os.replace(issue(tmp_path, "new.benet.com"), path)
    assert shown(certificates, "mail.benet.com") == "new.benet.com"


def test_a_broken_renewal_leaves_the_old_one_in_force_and_is_logged(tmp_path, parameters, monkeypatch, settings):
    monkeypatch.setattr(tls, "_CHECK_INTERVAL", -1.0)
    path = issue(tmp_path, "mail.benet.com")
    parameters(smtpd_tls_cert_file=str(path))
    certificates = tls.Certificates()
    path.write_text("half a fil")
    assert shown(certificates, None) == "mail.benet.com"
    assert "certificates not reloaded" in (settings.LOG_ROOT / "maillog").read_text()


def test_a_name_added_to_the_table_is_served_without_a_restart(tmp_path, parameters):
    parameters(smtpd_tls_cert_file=str(issue(tmp_path, "mail.benet.com")))
    certificates = tls.Certificates()
    lookup_tables.add_entries("sni", {"mail.accp.com": str(issue(tmp_path, "mail.accp.com"))}, overwrite=True)
    certificates.settings_changed()
    assert shown(certificates, "mail.accp.com") == "mail.accp.com"


def test_old_versions_are_refused_unless_allowed(parameters):
    certificates = tls.Certificates()
    with pytest.raises(ssl.SSLError):
        shown(certificates, None, ssl.TLSVersion.TLSv1_1)
    assert shown(certificates, None, ssl.TLSVersion.TLSv1_2)
    parameters(smtpd_tls_protocols=">=TLSv1.3")
    certificates = tls.Certificates()
    with pytest.raises(ssl.SSLError):
        shown(certificates, None, ssl.TLSVersion.TLSv1_2)


def test_what_cannot_be_used_is_said(tmp_path, parameters):
    (tmp_path / "empty.pem").write_text("")
    parameters(smtpd_tls_cert_file=str(tmp_path / "empty.pem"))
    with pytest.raises(ValueError, match="no private key"):
        tls.Certificates()
    parameters(smtpd_tls_cert_file="", smtpd_tls_protocols="SSLv3")
    with pytest.raises(ValueError, match="smtpd_tls_protocols: SSLv3"):
        tls.Certificates()


def test_no_tls_where_it_is_switched_off(parameters):
    parameters(ssl_disable="yes")
    assert tls.load_certificates() is None


def test_clients_are_asked_for_a_certificate_only_where_that_is_wanted(tmp_path, parameters):
    own, unknown = issue(tmp_path, "relay.accp.com"), issue(tmp_path, "stranger.example")
    seen: list[bytes | None] = []
    shown(tls.Certificates(request_client_cert=True), None, own=own, seen=seen)
    parameters(smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=str(own))
    shown(tls.Certificates(), None, own=own, seen=seen)
    asking = tls.Certificates(request_client_cert=True)
    shown(asking, None, seen=seen)
    assert seen == [None, None, None]
    shown(asking, None, own=own, seen=seen)
    assert x509.load_der_x509_certificate(seen[-1] or b"").subject.rfc4514_string() == "CN=relay.accp.com"
    with pytest.raises(ssl.SSLError):
        shown(asking, None, own=unknown)
