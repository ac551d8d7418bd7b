"""The supervisor: opens the sockets, drops root, starts the other processes, restarts and stops them.

Called by `manage.py runmailserver`. Each part is a forked child: server processes that share the listening sockets,
couriers, web servers. A child that dies is started again; the children hold the reading end of a pipe that shows when
the supervisor has died, so none is left behind holding a port. A child whose event loop is blocked (see `heartbeat`) is
killed and started again; its listening sockets stay open here.
"""

import errno
import json
import os
import pwd
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import connections

from mailcore import conf, rate_counters
from mailcore.conf import interfaces
from mailcore.logs import writer
from mailcore.mta.workers.courier import Courier
from mailcore.servers.runtime import heartbeat, privileges, web_process, worker_process
from mailcore.servers.transport import descriptors, tls
from mailcore.store.notify import notifications, watchers

SMTP_SERVICES = ("smtp", "submission", "submissions", "lmtp")
ACCESS_SERVICES = ("imap", "imaps", "pop3", "pop3s", "sieve")
SERVICES = (*SMTP_SERVICES, *ACCESS_SERVICES, "web")

_GRACE = 15.0  # Seconds from SIGTERM to SIGKILL.
_CHECK_INTERVAL = 1.0  # Seconds between two checks of the children.
_RESTART_DELAY = 1.0  # Seconds between two starts of a part.


class StartError(Exception):
    """The system cannot start; the text says why and what to do."""


class _DeliveryWorker(Protocol):
    def run(self, wake_socket: socket.socket, parent: int) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class ChildProcess:
    """A child: its function, and the process that runs it now."""

    name: str
    number: int  # Its number in the rate counters.
    body: Callable[[Callable[[], None]], None]
    pid: int = 0
    started: float = 0.0
    stuck: bool = False  # Its event loop is blocked.


@dataclass(slots=True)
class Supervisor:
    """The supervisor. Call `open`, `drop_privileges` and `run`, in this order."""

    couriers: int
    servers: int
    webs: int
    services: tuple[str, ...]
    sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    parts: list[ChildProcess] = field(default_factory=list)
    _stopping: bool = False
    _reload: bool = False
    _wake: int = -1
    _parent_pipe: int = -1
    _alive_writer: int = -1
    _checked_at: float = 0.0  # Time of the last check of the children.

    def open(self) -> None:
        """Bind every socket. Raise StartError if a port is in use or not permitted."""
        descriptors.raise_limit()
        for name in self.services:
            port = settings.PORTS[name]
            if port is None:
                continue
            self.sockets[name] = [_bind_socket(name, address, port) for address in _listen_addresses(name)]

    def drop_privileges(self, *, demo: bool) -> None:
        """Become mail_owner if started as root, and give it the files that root created in the data folder."""
        if os.getuid() != 0:
            return
        owner = conf.current().mail_owner
        try:
            user = pwd.getpwnam(owner)
        except KeyError:
            if demo:
                return  # On loopback, on a personal machine: root is acceptable.
            raise StartError(
                f'started as root, and there is no user "{owner}" to become:'
                f" make one (useradd --system --no-create-home --shell /usr/sbin/nologin {owner}),"
                " name another (mail_owner), or start as an ordinary user"
            ) from None
        privileges.chown_data_folder(user, Path(str(settings.DATABASES["default"]["NAME"])), demo=demo)
        os.initgroups(owner, user.pw_gid)
        os.setgid(user.pw_gid)
        # Python imports its date parser on first use: by then we may be a user who cannot read root's Python.
        time.strptime("1", "%d")
        os.setuid(user.pw_uid)
        os.environ["HOME"] = user.pw_dir

    def run(self, *, as_json: bool) -> None:
        """Start all children, print the listeners, and supervise until SIGTERM or SIGINT."""
        try:
            # Creates the self-signed certificate before several processes need it.
            tls.load_certificates(request_client_cert=True)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise StartError(
                f"the certificate cannot be used: {error} (smtpd_tls_cert_file, tls_server_sni_maps)"
            ) from error
        self._plan_children()
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        self._wake = _self_pipe()
        # Children see the end of this pipe when the supervisor has died.
        self._parent_pipe, self._alive_writer = os.pipe()
        ready_reader, ready_writer = os.pipe()
        for part in self.parts:
            self._start(part, ready_writer)
        self._await_ready(ready_reader)
        os.close(ready_reader)
        os.close(ready_writer)
        self._print_listeners(as_json)
        while not self._stopping:
            select.select([self._wake], [], [], _CHECK_INTERVAL)
            _drain(self._wake)
            if self._reload:
                self._reload = False
                self._signal_children(signal.SIGHUP)
                notifications.announce_settings()  # Also to couriers, whose SIGHUP only reopens the log.
            self._kill_stuck()
            self._restart_dead()
        self._stop()

    def _plan_children(self) -> None:
        mail = {name: sockets for name, sockets in self.sockets.items() if name != "web"}
        if mail:
            self._add_children("server", self.servers, lambda ready: worker_process.run(mail, self._parent_pipe, ready))
        if settings.REDIS_URL:
            self._add_children("celery-trigger", min(self.couriers, 1), self._run_celery_trigger)
        else:
            self._add_children("courier", self.couriers, self._run_courier)
        if "web" in self.sockets:
            self._add_children(
                "web",
                self.webs,
                lambda ready: web_process.run_web_process(self.sockets["web"], self._parent_pipe, ready),
            )

    def _add_children(self, kind: str, count: int, body: Callable[[Callable[[], None]], None]) -> None:
        for number in range(1, count + 1):
            self.parts.append(ChildProcess(f"{kind}-{number}", len(self.parts) + 1, body))

    def _run_celery_trigger(self, ready: Callable[[], None]) -> None:
        from mailcore.mta.workers.celery_trigger import CeleryTrigger  # Imports Celery, which no other part needs.

        self._run_delivery(CeleryTrigger(), ready)

    def _run_courier(self, ready: Callable[[], None]) -> None:
        self._run_delivery(Courier(), ready)

    def _run_delivery(self, courier: _DeliveryWorker, ready: Callable[[], None]) -> None:
        wake_socket = notifications.open_listener(notifications.COURIERS)
        signal.signal(signal.SIGTERM, lambda *_: courier.stop())
        signal.signal(signal.SIGHUP, lambda *_: writer.reopen())
        ready()
        courier.run(wake_socket, self._parent_pipe)
        notifications.close_listener(wake_socket, notifications.COURIERS)

    # --- Children ---------------------------------------------------------------------------------

    def _start(self, part: ChildProcess, ready_writer: int | None) -> None:
        connections.close_all()  # A database connection does not survive a fork.
        sys.stdout.flush()
        sys.stderr.flush()
        part.started, part.stuck = time.monotonic(), False
        part.pid = os.fork()
        if part.pid:
            return
        status = 1
        try:
            os.close(self._alive_writer)
            rate_counters.join_as(part.number)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

            def ready() -> None:
                if ready_writer is not None:
                    os.write(ready_writer, b".")

            part.body(ready)
            status = 0
        except BaseException as error:
            writer.write("master", f"fatal: {part.name}: {type(error).__name__}: {error}")
            print(f"{part.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def _await_ready(self, ready_reader: int) -> None:
        waiting = len(self.parts)
        while waiting and not self._stopping:
            ready, _, _ = select.select([ready_reader], [], [], 1.0)
            if ready:
                waiting -= len(os.read(ready_reader, 100))
            for part in self.parts:
                if _reap_child(part):
                    self._signal_children(signal.SIGTERM)
                    raise StartError(f"{part.name} ended while starting")

    def _kill_stuck(self) -> None:
        """Kill children whose event loops are blocked, after they have logged their stacks.

        The first signal makes a child write its stacks, the second follows one check later. If this process itself did
        not run for a while (a suspended machine, or one out of memory) the children get one more interval.
        """
        now = time.monotonic()
        was_delayed, self._checked_at = now - self._checked_at > 2 * _CHECK_INTERVAL + heartbeat.INTERVAL, now
        limit = conf.current().watchdog_timeout
        for part in self.parts:
            silent = heartbeat.silence(part.number) if part.pid and limit and not was_delayed else 0.0
            if part.stuck:
                os.kill(part.pid, signal.SIGKILL)
            elif silent > limit > 0:
                part.stuck = True
                writer.write(
                    "master", f"error: event loop of {part.name} has been blocked for {silent:.0f} s, replacing it"
                )
                os.kill(part.pid, signal.SIGUSR2)

    def _restart_dead(self) -> None:
        for part in self.parts:
            if part.pid and _reap_child(part):
                writer.write("master", f"warning: {part.name} ended unexpectedly, starting it again")
                rate_counters.clear_process(part.number)
                watchers.clear_process(part.number)
                heartbeat.clear(part.number)
            if not part.pid and time.monotonic() - part.started > _RESTART_DELAY and not self._stopping:
                self._start(part, None)

    def _stop(self) -> None:
        self._signal_children(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while any(part.pid for part in self.parts):
            for part in self.parts:
                if part.pid:
                    _reap_child(part)
            if time.monotonic() > deadline:
                self._signal_children(signal.SIGKILL)
            select.select([self._wake], [], [], 0.05)
            _drain(self._wake)
        writer.write("master", "terminating on signal 15")

    def _signal_children(self, number: int) -> None:
        for part in self.parts:
            if part.pid:
                os.kill(part.pid, number)

    def _on_stop(self, *_: object) -> None:
        self._stopping = True

    def _on_reload(self, *_: object) -> None:
        self._reload = True

    # --- Output -----------------------------------------------------------------------------------

    def _print_listeners(self, as_json: bool) -> None:
        listeners = {
            name: [_format_address(*sock.getsockname()[:2]) for sock in sockets]
            for name, sockets in self.sockets.items()
        }
        if as_json:
            pids = {"supervisor": os.getpid(), **{part.name: part.pid for part in self.parts}}
            print(json.dumps({"listeners": listeners, "pids": pids}))
        else:
            for name, addresses in listeners.items():
                print(f"{name:12} {' '.join(addresses)}")
        print(f"ready: {len(self.parts)} processes under {os.getpid()}", flush=True)


def _format_address(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _listen_addresses(service: str) -> list[str]:
    return interfaces.listen_addresses(service, conf.current(), ipv6=_has_ipv6())


def _has_ipv6() -> bool:
    """Return True if this machine has an IPv6 address to bind."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind_socket(name: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 has a socket of its own.
    sock.setblocking(False)
    try:
        sock.bind((address, port))
        sock.listen(conf.current().listen_backlog)
    except OSError as error:
        why = {
            errno.EADDRINUSE: "another program has it",
            errno.EACCES: "ports below 1024 are root's: start as root (privileges are dropped after this)",
            errno.EADDRNOTAVAIL: "this machine does not have that address",
        }.get(error.errno or 0, str(error))
        raise StartError(f"cannot listen on {address}:{port} for {name}: {why}") from error
    return sock


def _reap_child(part: ChildProcess) -> bool:
    """Return True if this child has ended; its pid is 0 then."""
    try:
        ended, _ = os.waitpid(part.pid, os.WNOHANG)
    except ChildProcessError:
        ended = part.pid
    if ended:
        part.pid = 0
    return bool(ended)


def _self_pipe() -> int:
    """Return a descriptor that becomes readable when a signal arrives."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass
