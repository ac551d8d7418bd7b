"""Configuration checks: `manage.py check` finds what is wrong before a server starts.

Each check reports under an id of its own, with what to do in the hint.
"""

import os
import pwd
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register
from django.core.checks import Warning as Caution
from django.db import DatabaseError, connection

from mailcore import conf
from mailcore.store.maildir import durability
from mailcore.wire.auth.sasl import OPTIONS


@register()
def check_database(**_: Any) -> Iterable[CheckMessage]:
    """The database answers, and compares names as mailboxes need it. (An unknown kind of database stops
    the settings already.)"""
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
                f"the database compares names by {collation}: mailboxes A and a would be one",
                hint="ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, before the first migrate",
                id="mailcore.E003",
            )


@register()
def check_celery(**_: Any) -> Iterable[CheckMessage]:
    """With REDIS_URL nothing is delivered without Celery: what it needs can be imported."""
    if not settings.REDIS_URL:
        return
    try:
        from mailcore import celery

        celery.load_transport()
    except (ImportError, KeyError, ValueError) as error:
        yield Error(
            f"REDIS_URL is set, but Celery cannot speak with it: {type(error).__name__}: {error}",
            hint="pip install --require-hashes --requirement requirements.lock",
            id="mailcore.E030",
        )


@register()
def check_folders(**_: Any) -> Iterable[CheckMessage]:
    """The data folder can be written, and messages can be moved within it by renaming."""
    folder = Path(settings.DATA_DIR)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Error(
            f"the data folder {folder} cannot be written: {error.strerror}",
            hint="make it the property of the user that runs the server, or set DATA_DIR",
            id="mailcore.E004",
        )
        return
    if os.stat(folder).st_mode & 0o007:
        yield Caution(
            f"everybody on this machine can look into the data folder {folder}",
            hint=f"chmod 750 {folder}",
            id="mailcore.W006",
        )
    roots = [root for root in (settings.MAIL_ROOT, settings.QUEUE_ROOT) if root.exists()]
    if len({os.stat(root).st_dev for root in roots}) > 1:
        yield Error(
            "mail and queue lie on different file systems",
            hint="messages are linked from the queue into the Maildirs: put both on one",
            id="mailcore.E005",
        )


@register()
def check_durability(**_: Any) -> Iterable[CheckMessage]:
    """How messages become durable where they lie: found out from the type of the file system."""
    for root in (settings.MAIL_ROOT, settings.QUEUE_ROOT):
        folder = next((each for each in (root, *root.parents) if each.exists()), root)
        try:
            kind = durability.file_system(folder)
        except OSError:
            continue  # said by check_folders
        if not durability.is_local(kind):
            yield Info(
                f"{root} is on a file system ({durability.name_of(kind)}) where syncfs is not relied on:"
                " each message is made durable by an fsync of its own",
                hint="a local file system (ext4, xfs, btrfs, zfs) takes more messages a second",
                id="mailcore.I008",
            )


@register()
def check_parameters(**_: Any) -> Iterable[CheckMessage]:
    """Every parameter can be understood, and they do not contradict each other."""
    try:
        wrong = conf.problems()
    except DatabaseError:
        return  # said by check_database
    for name, reason in wrong.items():
        yield Error(f"{name}: {reason}", hint=f"postconf -e {name}=…", id="mailcore.E010")
    if wrong:
        return
    parameters = conf.refresh()
    yield from _check_sizes(parameters)
    yield from _check_times(parameters)
    yield from _check_sign_in(parameters)
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


def _check_sign_in(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    """Every property that is asked of AUTH is one that some mechanism has, or AUTH would not be offered at all."""
    for name in ("smtpd_sasl_security_options", "smtpd_sasl_tls_security_options"):
        if unknown := set(getattr(parameters, name)) - OPTIONS:
            yield Error(
                f"{name}: {', '.join(sorted(unknown))}: no such property here",
                hint=f"one of {', '.join(sorted(OPTIONS))}",
                id="mailcore.E015",
            )


@register()
def check_certificate(**_: Any) -> Iterable[CheckMessage]:
    """Root reads every file; mail_owner, who serves, must be able to read the certificate's."""
    try:
        parameters = conf.current()
        owner = pwd.getpwnam(parameters.mail_owner)
    except (DatabaseError, KeyError, ValueError):
        return  # said elsewhere
    if os.geteuid() != 0:
        return
    groups = os.getgrouplist(owner.pw_name, owner.pw_gid)
    for path in filter(None, (parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file)):
        try:
            found = os.stat(path)
        except OSError as error:
            yield Error(f"{path}: {error.strerror}", hint="see smtpd_tls_cert_file", id="mailcore.E007")
            continue
        mine, ours = found.st_uid == owner.pw_uid, found.st_gid in groups
        if not found.st_mode & (0o400 if mine else 0o040 if ours else 0o004):
            yield Error(
                f"{parameters.mail_owner} cannot read {path}",
                hint=f"chgrp {parameters.mail_owner} {path}; chmod 640 {path}",
                id="mailcore.E007",
            )


def _check_relay(parameters: conf.Parameters) -> Iterable[CheckMessage]:
    """An open relay is refused at start."""
    if not conf.rejects_open_relay():
        yield Error(
            f"open relay: {conf.OPEN_RELAY}",
            hint="postconf -e smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,…",
            id="mailcore.E020",
        )
    for network in parameters.mynetworks:
        if network.endswith("/0"):
            yield Error(
                f"open relay: mynetworks names everybody ({network})",
                hint="name your own networks only",
                id="mailcore.E021",
            )
    if not parameters.smtpd_sasl_auth_enable and not parameters.mynetworks:
        yield Caution(
            "nobody can send mail out: smtpd_sasl_auth_enable is no and mynetworks is empty", id="mailcore.W022"
        )
