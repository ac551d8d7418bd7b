"""TLS certificates: the administrator's, one per server name, or a self-signed one made at the first start.

`Certificates.context` is the servers' TLS context. At every handshake it selects by the requested server name (SNI,
see RFC 6066 §3), and checks once a second at most if a file has changed: renewed certificates are used without a
restart. If files cannot be used that is logged, and the previous certificates stay in use.
"""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path
from time import monotonic

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from mailcore import conf
from mailcore.logs import writer
from mailcore.store.settings import lookup_tables

_CHECK_INTERVAL = 1.0  # Seconds.
_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


class Certificates:
    """The certificates in use. Raise OSError, ssl.SSLError or ValueError if a file or parameter is invalid.

    `request_client_cert`: request client certificates if smtpd_tls_ask_ccert is set.
    """

    def __init__(self, *, request_client_cert: bool = False) -> None:
        self._request_client_cert = request_client_cert
        self.load()
        # Never used for a handshake: `_select_context` replaces it.
        self.context = _server_context(request_client_cert)
        self.context.load_cert_chain(*_default_files())
        self.context.sni_callback = self._select_context

    def load(self) -> None:
        """Read settings and files. If this raises, the previous certificates stay in use."""
        configured = _configured_files()
        files: set[str] = set()
        by_name: dict[str, ssl.SSLContext] = {}
        for name, value in configured:
            paths = value.replace(",", " ").split()
            # The key may be in the chain's file, or be the first or the last file.
            key = next((path for path in paths[:2] if b"PRIVATE KEY" in Path(path).read_bytes()), None)
            chain = next((path for path in paths[:2] if path != key), key)
            if key is None or chain is None:
                raise ValueError(f"{name or 'smtpd_tls_key_file'}: no private key in {value}")
            context = _server_context(self._request_client_cert)
            context.load_cert_chain(chain, key)
            by_name[name] = context
            files.update(paths)
        self._configured, self._by_name, self._files = configured, by_name, {path: _file_stamp(path) for path in files}
        self._checked_at = monotonic()

    def _select_context(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if monotonic() - self._checked_at > _CHECK_INTERVAL:
            self._check_files()
        server_name = (name or "").lower()
        parent = f".{server_name.partition('.')[2]}"
        connection.context = self._by_name.get(server_name) or self._by_name.get(parent) or self._by_name[""]

    def _check_files(self) -> None:
        self._checked_at = monotonic()
        now = {path: _file_stamp(path) for path in self._files}
        if now == self._files:
            return
        self._files = now  # A half-written renewal is checked again when its other file changes.
        self.reload()

    def settings_changed(self) -> None:
        """Reload if other files are configured now."""
        if _configured_files() != self._configured:
            self.reload()

    def reload(self) -> None:
        """Load again, logging the result instead of raising."""
        try:
            self.load()
        except (OSError, ssl.SSLError, ValueError) as error:
            writer.write("master", f"error: certificates not reloaded: {error}")
        else:
            writer.write("master", "certificates reloaded")


def load_certificates(*, request_client_cert: bool = False) -> Certificates | None:
    """Return the certificates, None if ssl_disable is set."""
    return None if conf.current().ssl_disable else Certificates(request_client_cert=request_client_cert)


def _server_context(request_client_cert: bool) -> ssl.SSLContext:
    parameters = conf.current()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if request_client_cert and parameters.smtpd_tls_ask_ccert:
        # Python's ssl accepts only client certificates that a known authority issued.
        context.load_verify_locations(parameters.smtpd_tls_CAfile)
        context.verify_mode = ssl.CERT_OPTIONAL
    oldest = parameters.smtpd_tls_protocols.removeprefix(">=").strip()
    if oldest not in _VERSIONS:
        raise ValueError(f"smtpd_tls_protocols: {oldest}: one of {', '.join(_VERSIONS)} with >= before it")
    context.minimum_version = _VERSIONS[oldest]
    return context


def _default_files() -> tuple[str, str]:
    parameters = conf.current()
    if parameters.smtpd_tls_cert_file:
        return parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file or parameters.smtpd_tls_cert_file
    chain, key = _self_signed(parameters.myhostname)
    return str(chain), str(key)


def _configured_files() -> list[tuple[str, str]]:
    """Return (host name, files), "" for all other names; ".example.com" matches every subdomain."""
    named = [entry for table in conf.current().tls_server_sni_maps for entry in lookup_tables.list_entries(table)]
    return [("", " ".join(_default_files())), *named]


def _file_stamp(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return (0, 0)
    return state.st_mtime_ns, state.st_ino


def _self_signed(hostname: str) -> tuple[Path, Path]:
    """Return (certificate, key) in TLS_ROOT, created if missing: valid for ten years, for this host name."""
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
