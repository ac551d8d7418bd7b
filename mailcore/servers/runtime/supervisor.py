"""The supervisor: opens the sockets, gives up root, starts the parts, keeps them alive, stops them.

Called by `manage.py runmailserver`. Each part is a forked child: server processes that share the
listening sockets, couriers, web servers. A child that dies is started again; the children hold the end
of a pipe that tells them when the supervisor itself is gone, so nothing is left behind holding a port. A child
whose event loop stands still (see `heartbeat`) is killed, and so started again; its listening sockets stay open here.
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
from mailcore.servers.runtime import descriptors, heartbeat, privileges, web_process, worker_process
from mailcore.servers.transport import tls
from mailcore.store.notify import notifications, watchers

SMTP_SERVICES = ("smtp", "submission", "submissions", "lmtp")
ACCESS_SERVICES = ("imap", "imaps", "pop3", "pop3s", "sieve")
SERVICES = (*SMTP_SERVICES, *ACCESS_SERVICES, "web")

_GRACE = 15.0  # seconds from SIGTERM to SIGKILL
_TURN = 1.0  # seconds between two looks at the children
_BACK_OFF = 1.0  # seconds between two starts of the same part


class StartError(Exception):
    """The system cannot start; the text says why and what to do."""


class _DeliveryWorker(Protocol):
    def run(self, bell: socket.socket, parent: int) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class ChildProcess:
    """One child: what it runs, and the process that runs it now."""

    name: str
    number: int  # under which it counts in the anvil
    body: Callable[[Callable[[], None]], None]
    pid: int = 0
    started: float = 0.0
    stuck: bool = False  # its event loop stands still


@dataclass(slots=True)
class Supervisor:
    """`open`, `drop_privileges`, `run`, in this order."""

    couriers: int
    servers: int
    webs: int
    services: tuple[str, ...]
    sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    parts: list[ChildProcess] = field(default_factory=list)
    _stopping: bool = False
    _reload: bool = False
    _wake: int = -1
    _gone: int = -1
    _alive: int = -1
    _turned: float = 0.0  # when the children were looked at last

    def open(self) -> None:
        """Bind every socket. StartFault: a port is taken, or not ours to take."""
        descriptors.raise_limit()
        for name in self.services:
            port = settings.PORTS[name]
            if port is None:
                continue
            self.sockets[name] = [_bind_socket(name, address, port) for address in _listen_addresses(name)]

    def drop_privileges(self, *, demo: bool) -> None:
        """Become mail_owner when started as root; what root made in the data folder is mail_owner's from then on."""
        if os.getuid() != 0:
            return
        owner = conf.current().mail_owner
        try:
            user = pwd.getpwnam(owner)
        except KeyError:
            if demo:
                return  # on loopback, on somebody's own machine: root for once
            raise StartError(
                f'started as root, and there is no user "{owner}" to become:'
                f" make one (useradd --system --no-create-home --shell /usr/sbin/nologin {owner}),"
                " name another (mail_owner), or start as an ordinary user"
            ) from None
        privileges.give_folder(user, Path(str(settings.DATABASES["default"]["NAME"])), demo=demo)
        os.initgroups(owner, user.pw_gid)
        os.setgid(user.pw_gid)
        # Python imports its reader of dates when first asked: by then we may be somebody who cannot read root's Python.
        time.strptime("1", "%d")
        os.setuid(user.pw_uid)
        os.environ["HOME"] = user.pw_dir

    def run(self, *, as_json: bool) -> None:
        """Start everything, say so, and watch until SIGTERM or SIGINT."""
        try:
            tls.load_certificates(asking=True)  # makes our own before several processes want it
        except (OSError, ssl.SSLError, ValueError) as error:
            raise StartError(
                f"the certificate cannot be used: {error} (smtpd_tls_cert_file, tls_server_sni_maps)"
            ) from error
        self._plan()
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        self._wake = _self_pipe()
        self._gone, self._alive = os.pipe()  # children see the end of `_gone` when we are gone
        heard, said = os.pipe()
        for part in self.parts:
            self._start(part, said)
        self._await_ready(heard)
        os.close(heard)
        os.close(said)
        self._announce(as_json)
        while not self._stopping:
            select.select([self._wake], [], [], _TURN)
            _drain(self._wake)
            if self._reload:
                self._reload = False
                self._pass_on(signal.SIGHUP)
                notifications.announce_settings()  # to couriers as well, whose SIGHUP opens the log anew
            self._end_stuck()
            self._restart_dead()
        self._stop()

    def _plan(self) -> None:
        mail = {name: sockets for name, sockets in self.sockets.items() if name != "web"}
        if mail:
            self._add("server", self.servers, lambda ready: worker_process.run(mail, self._gone, ready))
        if settings.REDIS_URL:
            self._add("ringer", min(self.couriers, 1), self._ringer)
        else:
            self._add("courier", self.couriers, self._courier)
        if "web" in self.sockets:
            self._add(
                "web", self.webs, lambda ready: web_process.run_web_process(self.sockets["web"], self._gone, ready)
            )

    def _add(self, kind: str, how_many: int, body: Callable[[Callable[[], None]], None]) -> None:
        for number in range(1, how_many + 1):
            self.parts.append(ChildProcess(f"{kind}-{number}", len(self.parts) + 1, body))

    def _ringer(self, ready: Callable[[], None]) -> None:
        from mailcore.mta.workers.celery_trigger import CeleryTrigger  # and Celery, which nobody else needs

        self._deliver(CeleryTrigger(), ready)

    def _courier(self, ready: Callable[[], None]) -> None:
        self._deliver(Courier(), ready)

    def _deliver(self, courier: _DeliveryWorker, ready: Callable[[], None]) -> None:
        bell = notifications.open_listener(notifications.COURIERS)
        signal.signal(signal.SIGTERM, lambda *_: courier.stop())
        signal.signal(signal.SIGHUP, lambda *_: writer.reopen())
        ready()
        courier.run(bell, self._gone)
        notifications.close_listener(bell, notifications.COURIERS)

    # --- Children ---------------------------------------------------------------------------------

    def _start(self, part: ChildProcess, said: int | None) -> None:
        connections.close_all()  # a database connection does not survive a fork
        sys.stdout.flush()
        sys.stderr.flush()
        part.started, part.stuck = time.monotonic(), False
        part.pid = os.fork()
        if part.pid:
            return
        status = 1
        try:
            os.close(self._alive)
            rate_counters.join_as(part.number)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

            def ready() -> None:
                if said is not None:
                    os.write(said, b".")

            part.body(ready)
            status = 0
        except BaseException as error:
            writer.write("master", f"fatal: {part.name}: {type(error).__name__}: {error}")
            print(f"{part.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def _await_ready(self, heard: int) -> None:
        waiting = len(self.parts)
        while waiting and not self._stopping:
            ready, _, _ = select.select([heard], [], [], 1.0)
            if ready:
                waiting -= len(os.read(heard, 100))
            for part in self.parts:
                if _reap_child(part):
                    self._pass_on(signal.SIGTERM)
                    raise StartError(f"{part.name} ended while starting")

    def _end_stuck(self) -> None:
        """Kill children whose event loops stand still, after a look at what they are doing: a first signal makes them
        write their stacks, the second comes a turn later. Where this process itself was not run for a while (a machine
        that was suspended, or has no memory left) the children get a turn first."""
        now = time.monotonic()
        late, self._turned = now - self._turned > 2 * _TURN + heartbeat.INTERVAL, now
        limit = conf.current().watchdog_timeout
        for part in self.parts:
            silent = heartbeat.silence(part.number) if part.pid and limit and not late else 0.0
            if part.stuck:
                os.kill(part.pid, signal.SIGKILL)
            elif silent > limit > 0:
                part.stuck = True
                writer.write(
                    "master", f"error: event loop of {part.name} stands still for {silent:.0f} s, replacing it"
                )
                os.kill(part.pid, signal.SIGUSR2)

    def _restart_dead(self) -> None:
        for part in self.parts:
            if part.pid and _reap_child(part):
                writer.write("master", f"warning: {part.name} ended unexpectedly, starting it again")
                rate_counters.clear_process(part.number)
                watchers.clear_process(part.number)
                heartbeat.clear(part.number)
            if not part.pid and time.monotonic() - part.started > _BACK_OFF and not self._stopping:
                self._start(part, None)

    def _stop(self) -> None:
        self._pass_on(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while any(part.pid for part in self.parts):
            for part in self.parts:
                if part.pid:
                    _reap_child(part)
            if time.monotonic() > deadline:
                self._pass_on(signal.SIGKILL)
            select.select([self._wake], [], [], 0.05)
            _drain(self._wake)
        writer.write("master", "terminating on signal 15")

    def _pass_on(self, number: int) -> None:
        for part in self.parts:
            if part.pid:
                os.kill(part.pid, number)

    def _on_stop(self, *_: object) -> None:
        self._stopping = True

    def _on_reload(self, *_: object) -> None:
        self._reload = True

    # --- What is said -----------------------------------------------------------------------------

    def _announce(self, as_json: bool) -> None:
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
    return interfaces.listen_addresses(service, conf.current(), ipv6=_speaks_ipv6())


def _speaks_ipv6() -> bool:
    """Has this machine an IPv6 address to bind at all?"""
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
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 has a socket of its own
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
    """Has this child ended? Then it has no pid any more."""
    try:
        ended, _ = os.waitpid(part.pid, os.WNOHANG)
    except ChildProcessError:
        ended = part.pid
    if ended:
        part.pid = 0
    return bool(ended)


def _self_pipe() -> int:
    """A descriptor that becomes readable when a signal arrives."""
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
