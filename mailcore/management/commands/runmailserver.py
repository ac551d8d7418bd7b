"""`manage.py runmailserver`: run the whole mail system until SIGTERM."""

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import content_files
from mailcore.servers.runtime.supervisor import ACCESS_SERVICES, SERVICES, SMTP_SERVICES, StartError, Supervisor


class Command(BaseCommand):
    help = (
        "Serve SMTP, submission, LMTP, IMAP, POP3 and the web, and deliver the queue. "
        "SIGTERM stops gracefully, SIGHUP reloads settings and certificates."
    )
    requires_system_checks: list[str] = []  # they run below, after the demo has created its database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="build the demo site benet.com in an empty database")
        parser.add_argument("--demo-users", type=int, default=0, metavar="N", help="with --demo: also user000 … ")
        parser.add_argument("--json", action="store_true", help="when ready, print listeners and pids as a JSON object")
        parser.add_argument("--no-smtp", action="store_true", help="do not serve SMTP, submission and LMTP")
        parser.add_argument("--no-access", action="store_true", help="do not serve IMAP and POP3")
        parser.add_argument("--no-couriers", action="store_true", help="start no couriers: deliver nothing")
        parser.add_argument("--no-web", action="store_true", help="do not serve webmail and administration")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["demo"]:
            self._build_demo(options["demo_users"])
        elif _unmigrated():
            raise CommandError("the database is not up to date: run `manage.py migrate` first")
        self.check(databases=["default"])
        content_files.make_directories()
        writer.configure()
        supervisor = Supervisor(
            couriers=0 if options["no_couriers"] else conf.current().courier_processes,
            servers=conf.current().server_processes or os.cpu_count() or 1,
            webs=conf.current().web_processes or os.cpu_count() or 1,
            services=tuple(_services(options)),
        )
        try:
            supervisor.open()
            supervisor.drop_privileges(demo=options["demo"])
            supervisor.run(as_json=options["json"])
        except StartError as fault:
            raise CommandError(str(fault)) from fault

    def _build_demo(self, users: int) -> None:
        if settings.HOST not in ("127.0.0.1", "::1", "localhost"):
            raise CommandError("the demo has a well-known password, so it runs on loopback only (HOST=127.0.0.1)")
        from mailcore.mta.submission import demo_site

        settings.DEMO = True
        if "COOKIE_SECURE" not in os.environ:
            settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o750)
        if _unmigrated():
            call_command("migrate", verbosity=0)
        content_files.make_directories()
        self.stdout.write("\n".join(demo_site.build_demo(users)))


def _services(options: dict[str, Any]) -> list[str]:
    off: set[str] = set()
    if options["no_smtp"]:
        off.update(SMTP_SERVICES)
    if options["no_access"]:
        off.update(ACCESS_SERVICES)
    if options["no_web"]:
        off.add("web")
    protocols = conf.current().protocols
    for protocol in ("imap", "pop3"):
        if protocol not in protocols:
            off.update((protocol, f"{protocol}s"))
    off.update({"lmtp", "sieve"}.difference(protocols))
    if conf.current().ssl_disable:
        off.update(("imaps", "pop3s", "submissions"))
    return [name for name in SERVICES if name not in off]


def _unmigrated() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
