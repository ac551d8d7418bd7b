"""Configuration checks: `manage.py check` reports errors before a server starts.

Each check has an id of its own, and the hint says what to do.
"""

import os
import pwd
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificate
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register
from django.core.checks import Warning as Caution
from django.db import DatabaseError, connection
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from mailcore import conf
from mailcore.store.maildir import durability
from mailcore.wire.auth.sasl import OPTIONS

_CERTIFICATE_DAYS = 14  # days before its end from which on a certificate is reported


@register()
def check_database(**_: Any) -> Iterable[CheckMessage]:
    """Check that the database answers and compares names with case, as mailboxes need it.

    (The settings reject unsupported databases themselves.)
    """
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        yield Error(f"the database does not answer: {error}", hint="see DATABASE_URL", id="mailcore.E002")
        return
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@collation_database")
            (collation,) = cursor.fetchone()
        if not collation.endswith("_bin"):
            yield Error(
                f"the database compares names with {collation}: mailboxes A and a would be one",
                hint="ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, before the first migrate",
                id="mailcore.E003",
            )


@register()
def check_migrations(**_: Any) -> Iterable[CheckMessage]:
    """Check that the tables are those of this version."""
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, InconsistentMigrationHistory) as error:
        yield Caution(f"the history of migrations cannot be read: {error}", id="mailcore.W050")
        return
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in plan[:3])
        yield Caution(
            f"{len(plan)} migrations are pending: {names}{' …' if len(plan) > 3 else ''}",
            hint="manage.py migrate",
            id="mailcore.W050",
        )


@register()
def check_celery(**_: Any) -> Iterable[CheckMessage]:
    """Check that Celery can be imported: with REDIS_URL nothing is delivered without it."""
    if not settings.REDIS_URL:
        return
    try:
        from mailcore import celery

        celery.load_transport()
    except (ImportError, KeyError, ValueError) as error:
        yield Error(
            f"REDIS_URL is set, but Celery cannot use it: {type(error).__name__}: {error}",
            hint="pip install --require-hashes --requirement requirements.lock",
            id="mailcore.E030",
        )


@register()
def check_folders(**_: Any) -> Iterable[CheckMessage]:
    """Check that the data folder is writable, and that mail and queue are on one file system."""
    folder = Path(settings.DATA_DIR)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Error(
            f"the data folder {folder} cannot be written: {error.strerror}",
            hint="chown it to the user that runs the server, or set DATA_DIR",
            id="mailcore.E004",
        )
        return
    if os.stat(folder).st_mode & 0o007:
        yield Caution(
            f"every user of this machine can read the data folder {folder}",
            hint=f"chmod 750 {folder}",
            id="mailcore.W006",
        )
    roots = [root for root in (settings.MAIL_ROOT, settings.QUEUE_ROOT) if root.exists()]
    if len({os.stat(root).st_dev for root in roots}) > 1:
        yield Error(
            "mail and queue are on different file systems",
            hint="messages are linked from the queue into the Maildirs: put both on one",
            id="mailcore.E005",
        )


@register()
def check_durability(**_: Any) -> Iterable[CheckMessage]:
    """Report how messages become durable on the file systems of mail and queue."""
    for root in (settings.MAIL_ROOT, settings.QUEUE_ROOT):
        folder = next((each for each in (root, *root.parents) if each.exists()), root)
        try:
            kind = durability.file_system(folder)
        except OSError:
            continue  # reported by check_folders
        if not durability.is_local(kind):
            yield Info(
                f"{root} is on a file system ({durability.name_of(kind)}) where syncfs is not reliable:"
                " each message needs an fsync of its own",
                hint="a local file system (ext4, xfs, btrfs, zfs) accepts more messages per second",
                id="mailcore.I008",
            )


@register()
def check_parameters(**_: Any) -> Iterable[CheckMessage]:
    """Check that every parameter is valid and that they do not contradict each other."""
    try:
        invalid = conf.problems()
    except DatabaseError:
        return  # reported by check_database
    for name, reason in invalid.items():
        yield Error(f"{name}: {reason}", hint=f"postconf -e {name}=…", id="mailcore.E010")
    if invalid:
        return
    parameters = conf.refresh()
    yield from _check_sizes(parameters)
    yield from _check_times(parameters)
    yield from _check_auth_options(parameters)
    yield from _check_choices(parameters)
    yield from _check_relay(parameters)


def _check_sizes(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    message = parameters.message_size_limit
    for name in ("mailbox_size_limit", "virtual_mailbox_limit"):
        limit = getattr(parameters, name)
        if limit and (not message or limit < message):
            yield Error(
                f"{name} ({limit}) is smaller than message_size_limit ({message or 'no limit'})",
                hint="a mailbox must hold the largest message that is accepted",
                id="mailcore.E011",
            )
    if message and parameters.header_size_limit > message:
        yield Error(
            f"header_size_limit ({parameters.header_size_limit}) is larger than message_size_limit ({message})",
            id="mailcore.E012",
        )


def _check_times(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    if parameters.minimal_backoff_time > parameters.maximal_backoff_time:
        yield Error("minimal_backoff_time is longer than maximal_backoff_time", id="mailcore.E013")
    if parameters.smtpd_soft_error_limit > parameters.smtpd_hard_error_limit:
        yield Error("smtpd_soft_error_limit is larger than smtpd_hard_error_limit", id="mailcore.E014")


def _check_auth_options(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    """Check the security options of AUTH: with an unknown one AUTH would not be offered at all."""
    for name in ("smtpd_sasl_security_options", "smtpd_sasl_tls_security_options"):
        if unknown := set(getattr(parameters, name)) - OPTIONS:
            yield Error(
                f"{name}: {', '.join(sorted(unknown))}: unknown security option",
                hint=f"one of {', '.join(sorted(OPTIONS))}",
                id="mailcore.E015",
            )


_CHOICES = {"submission_from_check": ("sender_field", "reject", "off"), "imap_acl_scope": ("domain", "named", "all")}


def _check_choices(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    """Check parameters with a fixed set of values: any other has the effect of the first, the default."""
    for name, choices in _CHOICES.items():
        if (value := getattr(parameters, name)) not in choices:
            yield Error(f"{name}: {value}: unknown value", hint=f"one of {', '.join(choices)}", id="mailcore.E016")


@register()
def check_certificate(**_: Any) -> Iterable[CheckMessage]:
    """Check that the certificate and its key fit, are valid, and can be read by mail_owner, as whom the servers run."""
    try:
        parameters = conf.current()
    except (DatabaseError, ValueError):
        return  # reported by other checks
    yield from _check_certificate_files(parameters)
    if os.geteuid() != 0:
        return
    try:
        owner = pwd.getpwnam(parameters.mail_owner)
    except KeyError:
        if not settings.DEMO:
            yield Caution(
                f"there is no user {parameters.mail_owner} (mail_owner), as whom the servers are to run",
                hint=f"useradd --system --no-create-home {parameters.mail_owner}",
                id="mailcore.W009",
            )
        return
    groups = os.getgrouplist(owner.pw_name, owner.pw_gid)
    for path in filter(None, (parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file)):
        try:
            status = os.stat(path)
        except OSError as error:
            yield Error(f"{path}: {error.strerror}", hint="see smtpd_tls_cert_file", id="mailcore.E007")
            continue
        is_owner, is_in_group = status.st_uid == owner.pw_uid, status.st_gid in groups
        if not status.st_mode & (0o400 if is_owner else 0o040 if is_in_group else 0o004):
            yield Error(
                f"{parameters.mail_owner} cannot read {path}",
                hint=f"chgrp {parameters.mail_owner} {path}; chmod 640 {path}",
                id="mailcore.E007",
            )


def _check_certificate_files(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    certificate, key = parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file
    if not certificate or not os.access(certificate, os.R_OK) or (key and not os.access(key, os.R_OK)):
        return  # none, or reported as unreadable
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password=lambda: "")
        found = load_pem_x509_certificate(Path(certificate).read_bytes())
    except (ssl.SSLError, ValueError, OSError) as error:
        yield Error(
            f"the certificate {certificate} cannot be used with its key: {error}",
            hint="see smtpd_tls_cert_file and smtpd_tls_key_file",
            id="mailcore.E051",
        )
        return
    left = found.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(days=_CERTIFICATE_DAYS):
        text = "has expired" if left < timedelta(0) else f"expires in {left.days} days"
        yield Caution(f"the certificate {certificate} {text}", hint="renew it", id="mailcore.W052")


@register()
def check_plaintext_login(**_: Any) -> Iterable[CheckMessage]:
    """Check that no password crosses the network in the clear; the demo, on loopback, needs no TLS."""
    if settings.DEMO:
        return
    try:
        parameters = conf.current()
    except (DatabaseError, ValueError):
        return  # reported by other checks
    if not parameters.disable_plaintext_auth:
        yield Caution(
            "IMAP, POP3 and ManageSieve accept passwords without TLS: disable_plaintext_auth is no",
            hint="postconf -e disable_plaintext_auth=yes",
            id="mailcore.W053",
        )
    if parameters.smtpd_sasl_auth_enable and not parameters.smtpd_tls_auth_only:
        yield Caution(
            "SMTP AUTH is offered without TLS: smtpd_tls_auth_only is no",
            hint="postconf -e smtpd_tls_auth_only=yes",
            id="mailcore.W054",
        )


@register()
def check_web_security(**_: Any) -> Iterable[CheckMessage]:
    """Check that pages and cookies are kept to TLS; the demo, on loopback, needs none."""
    if settings.DEMO or settings.PORTS["web"] is None:
        return
    if not settings.SESSION_COOKIE_SECURE:
        yield Caution(
            "COOKIE_SECURE is no: session cookies can be read from connections without TLS",
            hint="unset COOKIE_SECURE; put a web server with TLS in front of WEB_PORT",
            id="mailcore.W040",
        )
    elif not settings.BEHIND_PROXY:
        yield Caution(
            "BEHIND_PROXY is no: without TLS in front of WEB_PORT browsers do not send the session cookie",
            hint="put a web server with TLS in front of WEB_PORT and set BEHIND_PROXY=yes",
            id="mailcore.W041",
        )
    if not settings.SECURE_HSTS_SECONDS:
        yield Caution(
            "HSTS_SECONDS is 0: a first visit by http:// can be intercepted",
            hint="unset HSTS_SECONDS",
            id="mailcore.W042",
        )


def _check_relay(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    """Refuse to start an open relay."""
    if not conf.rejects_open_relay():
        yield Error(
            f"open relay: {conf.OPEN_RELAY}",
            hint="postconf -e smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,…",
            id="mailcore.E020",
        )
    for network in parameters.mynetworks:
        if network.endswith("/0"):
            yield Error(
                f"open relay: mynetworks contains every address ({network})",
                hint="list your own networks only",
                id="mailcore.E021",
            )
    if not parameters.smtpd_sasl_auth_enable and not parameters.mynetworks:
        yield Caution(
            "no client can send mail to other domains: smtpd_sasl_auth_enable is no and mynetworks is empty",
            id="mailcore.W022",
        )
