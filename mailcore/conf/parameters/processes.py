"""Parameters: processes and logs."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import days, integer, seconds, text


@dataclass(frozen=True)
class Processes:
    title: ClassVar[Promise | str] = _("Processes and logs")

    mail_owner: str = text("youju", _("The user the system runs as after it was started as root."))
    server_processes: int = integer("0", _("Number of mail server processes; 0: one for each CPU core."))
    server_threads: int = integer("16", _("Threads, and thus database connections, of one mail server process."))
    courier_processes: int = integer(
        "1", _("Courier processes (delivery workers) run by runmailserver without REDIS_URL.")
    )
    traffic_history_time: int = days("400d", _("Time the hourly statistics are kept."))
    watchdog_timeout: int = seconds(
        "10s",
        _("Time the event loop of a server or web process may block before it is replaced; 0: no limit."),
    )
    listen_backlog: int = integer("511", _("Connections that may wait at a listening socket."))
    queue_history_time: int = days("7d", _("Time that completed messages can still be found in the queue's history."))
    events_retention: int = days(
        "7d", _("Time that the event log keeps moved and deleted messages; 0: nothing is recorded.")
    )
    maillog_file: str = text("", _('Where the mail log is written: a file, /dev/stdout, "syslog"; empty: log/maillog.'))
    syslog_name: str = text("youju", _("The name before the program name in log lines."))
