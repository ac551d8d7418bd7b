"""Parameters: main.cf's texts, where a value comes from, and what is wrong before a server starts."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.checks import run_checks
from django.db.migrations.recorder import MigrationRecorder
from django.utils import translation

from mailcore import conf
from mailcore.conf import value_types
from mailcore.conf.interfaces import local_address
from mailcore.models import Setting

VALUES = {"mydomain": "benet.com", "myhostname": "mail.$mydomain", "empty": "", "circle": "$circle"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$mydomain", "benet.com"),
        ("${mydomain}, $(myhostname)", "benet.com, mail.benet.com"),
        ("${empty:else}${mydomain:else}", "elsebenet.com"),
        ("${empty?given}${mydomain?given}", "given"),
        ("$unknown$$", "$"),
    ],
)
def test_references(text, value):
    assert value_types.expand(text, lambda name: VALUES.get(name, "")) == value


def test_a_circle_is_found():
    with pytest.raises(ValueError, match="refers to itself"):
        value_types.expand("$circle", lambda name: VALUES.get(name, ""))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (value_types.BOOLEAN, "yes", True),
        (value_types.BOOLEAN, "No", False),
        (value_types.SECONDS, "300", 300),
        (value_types.SECONDS, "5m", 300),
        (value_types.HOURS, "2", 7200),
        (value_types.DAYS, "5d", 432000),
        (value_types.DAYS, "1w", 604800),
        (value_types.LIST, "a, b\n c,,d", ("a", "b", "c", "d")),
        (value_types.LIST, " ", ()),
        (value_types.BYTES, "10240000", 10240000),
    ],
)
def test_kinds(kind, text, value):
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"), [(value_types.BOOLEAN, "maybe"), (value_types.SECONDS, "5y"), (value_types.BYTES, "-1")]
)
def test_what_is_not_of_its_kind(kind, text):
    with pytest.raises(ValueError, match=text):
        kind.parse(text)


def test_every_default_can_be_understood_and_explained():
    for spec in conf.SPECS.values():
        with translation.override("en"):
            assert str(spec.help).strip().endswith((".", ";", ")")), spec.name


@pytest.mark.django_db
def test_environment_over_table_over_default(monkeypatch):
    assert conf.current().smtpd_recipient_limit == 1000
    assert conf.origin("smtpd_recipient_limit") == "default"
    conf.set_value("smtpd_recipient_limit", "20", by="admin@benet.com")
    assert conf.current().smtpd_recipient_limit == 20
    assert conf.origin("smtpd_recipient_limit") == "set"
    monkeypatch.setenv("MAIL_SMTPD_RECIPIENT_LIMIT", "7")
    assert conf.refresh().smtpd_recipient_limit == 7
    assert conf.origin("smtpd_recipient_limit") == "environment"
    monkeypatch.delenv("MAIL_SMTPD_RECIPIENT_LIMIT")
    conf.unset("smtpd_recipient_limit")
    assert conf.current().smtpd_recipient_limit == 1000


@pytest.mark.django_db
def test_a_wrong_value_is_refused_when_set_and_survived_when_found():
    with pytest.raises(ValueError, match="many"):
        conf.set_value("smtpd_recipient_limit", "many")
    with pytest.raises(KeyError):
        conf.set_value("smtpd_recipient_limits", "1")
    Setting.objects.create(name="smtpd_recipient_limit", value="many")
    assert conf.refresh().smtpd_recipient_limit == 1000
    assert "smtpd_recipient_limit" in conf.problems()


@pytest.fixture(autouse=True)
def production(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that no check complains about."""
    settings.BEHIND_PROXY = True
    for name, value in {"DISABLE_PLAINTEXT_AUTH": "yes", "SMTPD_TLS_AUTH_ONLY": "yes", "MAIL_OWNER": "nobody"}.items():
        monkeypatch.setenv(f"MAIL_{name}", value)


def found() -> set[str]:
    return {message.id for message in run_checks() if message.id.startswith("mailcore.")}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, None),
        ({"message_size_limit": "60000000"}, "mailcore.E011"),
        ({"message_size_limit": "0"}, "mailcore.E011"),
        ({"header_size_limit": "20000000"}, "mailcore.E012"),
        ({"smtpd_sasl_security_options": "noanonymous, forward_secrecy"}, "mailcore.E015"),
        ({"submission_from_check": "sender-field"}, "mailcore.E016"),
        ({"imap_acl_scope": "everybody"}, "mailcore.E016"),
        ({"minimal_backoff_time": "2h"}, "mailcore.E013"),
        ({"smtpd_soft_error_limit": "30"}, "mailcore.E014"),
        ({"smtpd_relay_restrictions": "permit", "smtpd_recipient_restrictions": ""}, "mailcore.E020"),
        ({"mynetworks": "0.0.0.0/0"}, "mailcore.E021"),
        ({"smtpd_timeout": "soon"}, "mailcore.E010"),
    ],
)
def test_wrong_configuration_is_found_before_a_server_starts(parameters, values, problem):
    parameters(**values)
    assert found() == ({problem} if problem else set())


@pytest.mark.django_db
def test_a_data_folder_that_cannot_be_written(settings):
    settings.DATA_DIR = Path("/proc/nowhere")
    assert found() == {"mailcore.E004"}


@pytest.mark.django_db
def test_a_data_folder_for_everybody_to_read(tmp_path):
    tmp_path.chmod(0o755)
    assert found() == {"mailcore.W006"}
    tmp_path.chmod(0o750)
    assert found() == set()


@pytest.mark.django_db
@pytest.mark.skipif(os.getuid() != 0, reason="only root asks what another user may read")
def test_a_certificate_its_user_cannot_read(tmp_path, parameters):
    file = tmp_path / "mail.pem"
    parameters(mail_owner="nobody", smtpd_tls_cert_file=str(file))
    assert found() == {"mailcore.E007"}
    file.write_text("")
    for mode, problems in {0o600: {"mailcore.E007"}, 0o644: set()}.items():
        file.chmod(mode)
        assert found() - {"mailcore.E051"} == problems


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, set()),
        ({"SESSION_COOKIE_SECURE": False}, {"mailcore.W040"}),
        ({"BEHIND_PROXY": False}, {"mailcore.W041"}),
        ({"SECURE_HSTS_SECONDS": 0}, {"mailcore.W042"}),
        ({"SESSION_COOKIE_SECURE": False, "BEHIND_PROXY": False, "SECURE_HSTS_SECONDS": 0, "DEMO": True}, set()),
    ],
)
def test_pages_without_tls_are_reported(settings, changes, problems):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert found() == problems


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"disable_plaintext_auth": "no"}, {"mailcore.W053"}),
        ({"smtpd_tls_auth_only": "no"}, {"mailcore.W054"}),
        ({"smtpd_tls_auth_only": "no", "smtpd_sasl_auth_enable": "no"}, set()),
    ],
)
def test_passwords_in_the_clear_are_reported_outside_the_demo(parameters, settings, values, problems):
    parameters(**values)
    assert found() == problems
    settings.DEMO = True
    assert found() == set()


@pytest.mark.django_db
def test_pending_migrations_are_reported():
    MigrationRecorder.Migration.objects.filter(app="mailcore").order_by("-pk").first().delete()
    assert found() == {"mailcore.W050"}
    MigrationRecorder.Migration.objects.all().delete()
    assert found() == {"mailcore.W050"}


@pytest.mark.django_db
@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_a_missing_service_user_is_reported(parameters):
    parameters(mail_owner="no-such-user")
    assert found() == {"mailcore.W009"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "spoil", "problems"),
    [(90, "", set()), (13, "", {"mailcore.W052"}), (-1, "", {"mailcore.W052"}), (90, "key", {"mailcore.E051"}),
     (90, "certificate", {"mailcore.E051"})],
)  # fmt: skip
def test_a_certificate_is_looked_at(tmp_path, parameters, days, spoil, problems):
    certificate, key = tmp_path / "mail.pem", tmp_path / "mail.key"
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.benet.com")])
    start = datetime.now(UTC) - timedelta(days=100)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=100 + days, hours=12))
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    owner = ec.generate_private_key(ec.SECP256R1()) if spoil == "key" else private
    key.write_bytes(
        owner.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    if spoil == "certificate":
        certificate.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    parameters(smtpd_tls_cert_file=str(certificate), smtpd_tls_key_file=str(key))
    for each in (certificate, key):
        each.chmod(0o644)
    assert found() == problems


@pytest.mark.django_db
def test_cookies_are_kept_to_tls_and_browsers_told_to_use_it(client):
    answer = client.get("/login/", secure=True)
    assert [each["secure"] for each in answer.cookies.values()] == [True]
    assert answer["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.django_db
def test_where_a_service_is_reached(parameters, settings):
    settings.HOST = "192.0.2.25"
    parameters(web_interfaces="127.0.0.1", imap_interfaces="all", pop3_interfaces="[2001:db8::1]")
    services = {name: local_address(name, conf.current()) for name in ("smtp", "web", "imap", "pop3", "lmtp")}
    assert services == {
        "smtp": "192.0.2.25", "web": "127.0.0.1", "imap": "127.0.0.1", "pop3": "2001:db8::1", "lmtp": "127.0.0.1",
    }  # fmt: skip


def test_every_help_text_names_its_subject():
    """Help texts are read one at a time, and in alphabetical order: none points at a neighbour."""
    with translation.override("en"):
        texts = {name: str(spec.help) for name, spec in conf.SPECS.items()}
    assert not [
        name for name, text in texts.items() if re.search(r"^(The same|Such|They|Its?)\b|\bsuch (a|an|tries)\b", text)
    ]
