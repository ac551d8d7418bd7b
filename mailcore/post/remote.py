"""Letters to other hosts: find the host (RFC 5321 §5, RFC 7505), speak SMTP to it, report what it said.

`Dispatch` runs an event loop in a thread beside the courier, so many hosts are spoken to at once and a
slow one holds up nobody. It touches no database: outcomes come back to the courier, which settles them.
"""

import asyncio
import contextlib
import os
import random
import re
import select
import ssl
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver

from mailcore import conf, log
from mailcore.post import files, outside
from mailcore.post.deliver import RemoteJob
from mailcore.post.queue import Claim, Duty, Settlement
from mailcore.terms import Outcome, deferred, delivered, failed

_HOP = re.compile(r"\[([^\]]+)\](?::(\d+))?|([^:\[\]]+)(?::(\d+))?")
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    port: int


class Unroutable(Exception):
    """No host takes mail for this domain; `outcome` says whether that may change."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


async def hosts_for(next_hop: str) -> list[Host]:
    """The hosts to try for a next hop, best first: `[host]:port` as it is, a domain by its MX records in
    order of preference (equal ones at random), the domain itself where it has none (RFC 5321 §5.1).

    Raises Unroutable: no such domain, a null MX (RFC 7505), or the name servers do not answer.
    """
    match = _HOP.fullmatch(next_hop)
    if match is None:
        raise Unroutable(failed("5.4.4", f"unable to look up host {next_hop}: bad name"))
    if match[1]:
        return [Host(match[1], int(match[2] or 25))]
    domain, port = match[3], int(match[4] or 25)
    try:
        answer = await dns.asyncresolver.resolve(domain, "MX", lifetime=conf.current().dns_timeout)
        records = [(r.preference, random.random(), str(r.exchange).rstrip(".")) for r in answer]
    except dns.resolver.NoAnswer:
        return [Host(domain, port)]
    except dns.resolver.NXDOMAIN as error:
        text = f"Host or domain name not found. Name service error for name={domain} type=MX: Host not found"
        raise Unroutable(failed("5.4.4", text)) from error
    except (dns.exception.DNSException, OSError) as error:
        text = f"Host or domain name not found. Name service error for name={domain} type=MX: Host not found, try again"
        raise Unroutable(deferred("4.4.3", text)) from error
    if [exchange for _, _, exchange in records] == [""]:
        raise Unroutable(failed("5.1.10", f"Domain {domain} does not accept mail (nullMX)"))
    return [Host(exchange, port) for _, _, exchange in sorted(records) if exchange]


async def send(job: RemoteJob) -> list[tuple[Duty, Outcome]]:
    """Deliver to every recipient of the job; one outcome for each. The first host that talks to us
    decides; hosts that cannot be reached are passed over."""
    if job.next_hop.startswith("|"):
        outcome = await outside.run(job.next_hop[1:], job.claim, job.duties[0].original)
        return [(duty, outcome) for duty in job.duties]
    try:
        hosts = await hosts_for(job.next_hop)
    except Unroutable as error:
        return [(duty, error.outcome) for duty in job.duties]
    last = deferred("4.4.1", f"connect to {job.next_hop}: no host to try")
    for host in hosts:
        try:
            client = await _connect(host)
        except (aiosmtplib.SMTPException, OSError) as error:
            last = deferred("4.4.1", f"connect to {host.name}[{host.name}]:{host.port}: {error}", f"{host.name}")
            continue
        client.timeout = conf.current().smtp_timeout
        try:
            return await _converse(client, job, f"{host.name}:{host.port}")
        except (aiosmtplib.SMTPException, OSError) as error:
            last = deferred("4.4.2", f"lost connection with {host.name}: {error}", f"{host.name}:{host.port}")
        finally:
            client.close()
    return [(duty, last) for duty in job.duties]


async def _connect(host: Host) -> aiosmtplib.SMTP:
    """A greeted connection, under TLS where the host offers it and it works (opportunistic, RFC 7435:
    certificates are not judged, and a host whose TLS is broken is spoken to in the clear)."""

    async def greet(*, tls: bool) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(
            hostname=host.name,
            port=host.port,
            local_hostname=conf.current().myhostname,
            timeout=conf.current().smtp_connect_timeout,
            start_tls=None if tls else False,
            tls_context=_unverified() if tls else None,
        )
        await client.connect()
        return client

    try:
        return await greet(tls=True)
    except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPConnectResponseError, aiosmtplib.SMTPConnectTimeoutError):
        raise
    except (aiosmtplib.SMTPException, ssl.SSLError):
        return await greet(tls=False)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _converse(client: aiosmtplib.SMTP, job: RemoteJob, relay: str) -> list[tuple[Duty, Outcome]]:
    claim = job.claim
    if job.login is not None and (refusal := await _log_in(client, job.login, relay)) is not None:
        return [(duty, refusal) for duty in job.duties]
    options = [f"SIZE={claim.size}"] if client.supports_extension("size") else []
    if claim.eight_bit and client.supports_extension("8bitmime"):
        options.append("BODY=8BITMIME")
    if claim.smtputf8:
        if not client.supports_extension("smtputf8"):
            refused = failed("5.6.7", f"SMTPUTF8 is required, but was not offered by host {relay}", relay)
            return [(duty, refused) for duty in job.duties]
        options.append("SMTPUTF8")
    try:
        await client.mail(claim.sender, options=options)
    except aiosmtplib.SMTPResponseException as error:
        return [(duty, _outcome(error.code, error.message, relay)) for duty in job.duties]
    results: list[tuple[Duty, Outcome]] = []
    taken: list[Duty] = []
    for duty in job.duties:
        try:
            await client.rcpt(duty.address)
            taken.append(duty)
        except aiosmtplib.SMTPResponseException as error:
            results.append((duty, _outcome(error.code, error.message, relay)))
    if taken:
        content = await asyncio.to_thread(_content, claim)
        try:
            response = await client.data(content)
            outcome = _outcome(response.code, response.message, relay)
        except aiosmtplib.SMTPResponseException as error:
            outcome = _outcome(error.code, error.message, relay)
        results += [(duty, outcome) for duty in taken]
    # The host has the letter or has refused it: how the conversation ends changes nothing any more.
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit()
    return results


async def _log_in(client: aiosmtplib.SMTP, login: tuple[str, str], relay: str) -> Outcome | None:
    """Sign in; the outcome for everybody where that is not possible. The administrator can mend it, so mail waits."""
    is_clear = client.get_transport_info("ssl_object") is None
    if is_clear and "noplaintext" in conf.current().smtp_sasl_security_options:
        return deferred("4.7.8", f"host {relay} offers no TLS to send a password under", relay)
    try:
        await client.login(*login)
    except aiosmtplib.SMTPResponseException as error:
        said = " ".join(f"{error.code} {error.message}".split())
        return deferred("4.7.8", f"SASL authentication failed; host {relay} said: {said}", relay)
    except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError):
        raise
    except aiosmtplib.SMTPException:
        return deferred("4.7.8", f"host {relay} offers no way to sign in", relay)
    return None


def _content(claim: Claim) -> bytes:
    with open(files.path(claim.id), "rb") as file:
        file.seek(claim.trace_size)
        return file.read()


def _outcome(code: int, message: str, relay: str) -> Outcome:
    """A reply as an outcome: 2xx delivered, 4xx deferred, 5xx failed; enhanced codes are kept."""
    match = _ENHANCED.match(message)
    status = match[1] if match else f"{code // 100}.0.0"
    text = " ".join(f"{code} {message}".split())
    if code < 400:
        return delivered(text, relay, status)
    kind = deferred if code < 500 else failed
    return kind(status, f"host {relay} said: {text}", relay)


@dataclass(slots=True)
class _Progress:
    """How far a letter with several next hops has got in this pass."""

    jobs: int
    results: list[tuple[Duty, Outcome]] = field(default_factory=list)


class Dispatch:
    """Jobs in, settlements out. All methods are for the courier's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._started = False
        self._lock = threading.Lock()
        self._progress: dict[int, _Progress] = {}
        self._finished: list[Settlement] = []
        self.bell, self._ringer = os.pipe()
        os.set_blocking(self.bell, False)
        self._destinations: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(conf.current().default_destination_concurrency_limit)
        )

    @property
    def letters(self) -> int:
        """Letters under way."""
        return len(self._progress)

    def submit(self, jobs: Sequence[RemoteJob]) -> None:
        if jobs and not self._started:
            self._thread.start()
            self._started = True
        for job in jobs:
            with self._lock:
                self._progress.setdefault(job.claim.id, _Progress(0)).jobs += 1
        for job in jobs:
            asyncio.run_coroutine_threadsafe(self._run(job), self._loop)

    async def _run(self, job: RemoteJob) -> None:
        try:
            async with self._destinations[job.next_hop]:
                results = await send(job)
        except Exception as error:  # a fault of ours must not lose the letter
            log.write("smtp", f"{job.claim.queue_id}: warning: {type(error).__name__}: {error}")
            results = [(duty, deferred("4.3.0", "internal error")) for duty in job.duties]
        with self._lock:
            progress = self._progress[job.claim.id]
            progress.jobs -= 1
            progress.results += results
            if progress.jobs == 0:
                del self._progress[job.claim.id]
                self._finished.append(Settlement(job.claim, progress.results))
                os.write(self._ringer, b".")

    def finished(self) -> list[Settlement]:
        """Letters whose every job has ended since the last call."""
        with self._lock:
            done, self._finished = self._finished, []
            if done:
                os.read(self.bell, len(done))
        return done

    def wait(self, seconds: float) -> None:
        """Until a letter is finished, at most so long."""
        select.select([self.bell], [], [], seconds)

    def close(self) -> None:
        """Give up what is under way; its letters are given back by the courier."""
        if self._started:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        os.close(self._ringer)
