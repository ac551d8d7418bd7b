"""Certificates: the administrator's, one for each name clients ask for, or one we sign ourselves at the first start.

`Certificates.context` is what the servers offer. It looks at every handshake which name the client asks
for (SNI, RFC 6066 §3), and once a second at most whether a file has changed: renewed certificates are in
force without a restart. Files that cannot be used are logged, and what was in force stays in force.
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

_LOOK_EVERY = 1.0  # seconds
_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


class Certificates:
    """The certificates in force. `asking`: clients may show one of their own, where smtpd_tls_ask_ccert says so.
    OSError, ssl.SSLError, ValueError: a file or a parameter is not right."""

    def __init__(self, *, asking: bool = False) -> None:
        self._asking = asking
        self.load()
        self.context = _server_context(asking)  # never shown to a client: `_choose` puts another in its place
        self.context.load_cert_chain(*_default_files())
        self.context.sni_callback = self._choose

    def load(self) -> None:
        """Read settings and files. All or nothing: when this raises, what was in force still is."""
        wanted = _configured_files()
        files: set[str] = set()
        by_name: dict[str, ssl.SSLContext] = {}
        for name, value in wanted:
            paths = value.replace(",", " ").split()
            # Tried one way only: the key may stand in the chain's file, or first, or last.
            key = next((path for path in paths[:2] if b"PRIVATE KEY" in Path(path).read_bytes()), None)
            chain = next((path for path in paths[:2] if path != key), key)
            if key is None or chain is None:
                raise ValueError(f"{name or 'smtpd_tls_key_file'}: no private key in {value}")
            context = _server_context(self._asking)
            context.load_cert_chain(chain, key)
            by_name[name] = context
            files.update(paths)
        self._wanted, self._by_name, self._files = wanted, by_name, {path: _file_stamp(path) for path in files}
        self._looked = monotonic()

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if monotonic() - self._looked > _LOOK_EVERY:
            self._look()
        asked = (name or "").lower()
        parent = f".{asked.partition('.')[2]}"
        connection.context = self._by_name.get(asked) or self._by_name.get(parent) or self._by_name[""]

    def _look(self) -> None:
        self._looked = monotonic()
        now = {path: _file_stamp(path) for path in self._files}
        if now == self._files:
            return
        self._files = now  # a renewal half written is looked at again when its other half comes
        self.reload()

    def settings_changed(self) -> None:
        """Load anew if other files are named now."""
        if _configured_files() != self._wanted:
            self.reload()

    def reload(self) -> None:
        """`load`, for whoever is at work already."""
        try:
            self.load()
        except (OSError, ssl.SSLError, ValueError) as error:
            writer.write("master", f"error: certificates not reloaded: {error}")
        else:
            writer.write("master", "certificates reloaded")


def load_certificates(*, asking: bool = False) -> Certificates | None:
    """None where ssl_disable says so."""
    return None if conf.current().ssl_disable else Certificates(asking=asking)


def _server_context(asking: bool) -> ssl.SSLContext:
    parameters = conf.current()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if asking and parameters.smtpd_tls_ask_ccert:
        # Python's ssl lets nobody in whose certificate it cannot trace to an authority it was told of.
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
    """(host name, its files), "" for every other name. ".example.com" stands for every name below it."""
    named = [entry for table in conf.current().tls_server_sni_maps for entry in lookup_tables.list_entries(table)]
    return [("", " ".join(_default_files())), *named]


def _file_stamp(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return (0, 0)
    return state.st_mtime_ns, state.st_ino


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
