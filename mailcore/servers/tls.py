"""Certificates: the administrator's, or one we sign ourselves at the first start."""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from mailcore import conf


def server_context() -> ssl.SSLContext | None:
    """What the servers offer; None where ssl_disable says so. OSError, ssl.SSLError: the files are not right."""
    parameters = conf.current()
    if parameters.ssl_disable:
        return None
    certificate, key = parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file
    if not certificate:
        certificate, key = (str(path) for path in _self_signed(parameters.myhostname))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key or None)
    return context


def _self_signed(hostname: str) -> tuple[Path, Path]:
    """(certificate, key) in TLS_ROOT, made when they are not there: ten years, for this host name."""
    certificate_path, key_path = settings.TLS_ROOT / "cert.pem", settings.TLS_ROOT / "key.pem"
    if certificate_path.exists() and key_path.exists():
        return certificate_path, key_path
    settings.TLS_ROOT.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [
        x509.DNSName(hostname),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
