"""Writer of the mail log, in syslog's line format as Postfix writes it.

Nov 22 14:05:09 mail youju/smtpd[4711]: 6F24D148440: client=unknown[192.0.2.7]

`write` is called by mail programs; `MailLogHandler` writes Python's own log records (Django's, a library's) into the
same file. A line is appended with one system call, so that processes never mix theirs. Secrets and message text are
never logged; control characters inside a line become "?" (`escaping`).
"""

import logging
import os
import socket
import sys
import syslog
import time

from django.conf import settings

from mailcore import conf
from mailcore.logs.escaping import escape_line


class _Destination:
    """The destination of log lines, determined at the first line and again after `reopen`."""

    def __init__(self) -> None:
        self.handle = -1
        self.syslog = False
        self.second = 0
        self.stamp = ""

    def open(self) -> None:
        target = conf.current().maillog_file
        if target == "syslog":
            syslog.openlog(conf.current().syslog_name, 0, syslog.LOG_MAIL)
            self.syslog = True
            self.handle = sys.stderr.fileno()
        elif target == "/dev/stdout":
            self.handle = sys.stdout.fileno()
        else:
            path = target or str(settings.LOG_ROOT / "maillog")
            os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
            # The data folder belongs to the mail owner: root does not follow a link in it.
            no_links = os.O_NOFOLLOW if not target and os.geteuid() == 0 else 0
            self.handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | no_links, 0o640)

    def prefix(self, program: str) -> str:
        now = int(time.time())
        if now != self.second:
            host = conf.current().myhostname.partition(".")[0] or socket.gethostname()
            moment = time.localtime(now)
            self.second = now
            day = f"{time.strftime('%b', moment)} {moment.tm_mday:2d}"
            self.stamp = f"{day} {time.strftime('%H:%M:%S', moment)} {host} "
        return f"{self.stamp}{conf.current().syslog_name}/{program}[{os.getpid()}]: "


_destination = _Destination()


def write(program: str, *lines: str) -> None:
    """Append lines of one program ("smtpd", "qmgr", "virtual", …), each of which begins with its queue id."""
    if _destination.handle < 0:
        _destination.open()
    prefix = _destination.prefix(program)
    if _destination.syslog:
        for line in lines:
            syslog.syslog(f"{program}: {escape_line(line)}")
        return
    text = "".join(f"{prefix}{escape_line(line)}\n" for line in lines)
    os.write(_destination.handle, text.encode("utf-8", "replace"))


def open_now() -> None:
    """Open the log before the first line: later there may be no free descriptor."""
    if _destination.handle < 0 and not _destination.syslog:
        _destination.open()


def log_path() -> str:
    """Return the log file's path, or "" if lines go to syslog or standard output."""
    target = conf.current().maillog_file
    if target in ("syslog", "/dev/stdout"):
        return ""
    return target or str(settings.LOG_ROOT / "maillog")


def reopen() -> None:
    """Open the log again at the next line, after it was rotated or its parameter changed."""
    if _destination.handle > 2:
        os.close(_destination.handle)
    _destination.handle, _destination.syslog = -1, False


class MailLogHandler(logging.Handler):
    """Handler that writes Python's log records as lines of the program named after their logger."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            text = record.getMessage()
            if record.exc_info:
                text += " | " + logging.Formatter().formatException(record.exc_info).replace("\n", " | ")
            write(record.name.rpartition(".")[2], level + text)
        except Exception:  # an error while logging must not end the program
            self.handleError(record)


def configure() -> None:
    """Send Python's log records from `WARNING` on (this project's from `INFO` on) to the mail log."""
    root = logging.getLogger()
    root.handlers[:] = [MailLogHandler()]
    root.setLevel(logging.WARNING)
    for name in ("mailcore", "mailadmin", "webmail"):
        logging.getLogger(name).setLevel(logging.INFO)
