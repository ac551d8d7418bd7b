"""Signing in, the same for SMTP, IMAP and POP3: the mechanism's turns, the wait before an attempt is judged, the
judge (`store.login`), the pause after a failure.

A protocol gives two things: which mechanisms it may offer now, and `ask`, which sends a challenge and brings
the client's response, decoded. Its own way to give up (a client's "*") it raises through.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from mailcore import conf
from mailcore.servers.concurrency.executor import Executor
from mailcore.store.auth import account_login, throttle
from mailcore.store.auth.throttle import TooManyAttempts
from mailcore.store.credentials import scram
from mailcore.values import Owner
from mailcore.wire.auth import sasl
from mailcore.wire.auth.sasl import Scram

T = TypeVar("T")
SendChallenge = Callable[[bytes], Awaitable[bytes]]
BUSY = "Too many attempts, try again later"


__all__ = ["BUSY", "AuthContext", "TooManyAttempts", "authenticate", "authenticate_password", "offered_mechanisms"]


@dataclass(frozen=True, slots=True)
class AuthContext:
    """Where somebody asks to be let in."""

    executor: Executor
    service: str  # "smtp", "imap", "pop3"
    client_address: str


def offered_mechanisms(options: tuple[str, ...] = (), *, clear: bool) -> tuple[str, ...]:
    """What can be offered, strongest first; `clear`: passwords may be sent as they are."""
    names = sasl.available_mechanisms(options, tokens=account_login.accepts_tokens(), clear=clear)
    return names if scram.is_offered() else tuple(name for name in names if name != "SCRAM-SHA-256")


async def authenticate(door: AuthContext, mechanism: str, initial: bytes | None, ask: SendChallenge) -> Owner | None:
    """Go through a mechanism that is offered; None: who it is said to be may not come in.

    `initial` is the response that came with the command. SaslError: the client does not keep to the mechanism. Busy:
    nothing was judged, it is to try again later.
    """
    match mechanism:
        case "PLAIN":
            name, password = sasl.parse_plain(await ask(b"") if initial is None else initial)
            return await authenticate_password(door, name, password)
        case "LOGIN":
            name = sasl.decode_name(initial or await ask(b"Username:"))
            return await authenticate_password(door, name, sasl.decode_name(await ask(b"Password:")))
        case "SCRAM-SHA-256":
            return await _scram(door, await ask(b"") if initial is None else initial, ask)
        case _:
            read = sasl.parse_oauthbearer if mechanism == "OAUTHBEARER" else sasl.parse_xoauth2
            return await _with_token(door, *read(await ask(b"") if initial is None else initial), ask)


async def authenticate_password(door: AuthContext, name: str, password: str) -> Owner | None:
    executor = door.executor
    values = name, password, door.service, door.client_address
    owner = await executor.run_in_pool(account_login.log_in_with_app_password, *values)
    if owner is None:
        async with _ThrottledAttempt(door, name) as judging:
            owner = judging.owner = await executor.run_password_check(judging.judge, account_login.log_in, *values)
    return owner


async def _scram(door: AuthContext, client_first: bytes, ask: SendChallenge) -> Owner | None:
    exchange = Scram(client_first)
    offer = await door.executor.run_in_pool(account_login.scram_offer, exchange.name)
    challenge = exchange.challenge(offer.salt, offer.iterations, secrets.token_urlsafe(18))
    client_final = await ask(challenge)
    async with _ThrottledAttempt(door, exchange.name) as judging:
        values = offer, exchange, client_final, door.service, door.client_address
        found: tuple[Owner, bytes] | None = await door.executor.run_in_pool(
            judging.judge, account_login.log_in_with_scram, *values
        )
        judging.owner = found[0] if found is not None else None
    if found is None:
        return None
    owner, server_final = found
    # The last message goes as one more challenge, which the client answers with nothing (RFC 4422 §5).
    if await ask(server_final):
        raise sasl.SaslError("an empty response expected")
    return owner


async def _with_token(door: AuthContext, name: str, token: str, ask: SendChallenge) -> Owner | None:
    async with _ThrottledAttempt(door, name) as judging:
        values = name, token, door.service, door.client_address
        owner = judging.owner = await door.executor.run_password_check(
            judging.judge, account_login.log_in_with_token, *values
        )
    if owner is None:
        await ask(sasl.oauth_failure())
    return owner


class _ThrottledAttempt:
    """`async with`: waits, lets the block judge, counts how it ended. The block sets `owner`. Raises Busy."""

    def __init__(self, door: AuthContext, name: str) -> None:
        self._door = door
        self._name = name
        self.owner: Owner | None = None

    async def __aenter__(self) -> Self:
        self._attempt = await self._door.executor.run_in_pool(_begin_attempt, self._name, self._door.client_address)
        try:
            await asyncio.sleep(self._attempt.wait)
        except BaseException:
            self._attempt.end(failed=False)
            raise
        return self

    def judge(self, function: Callable[..., T], *values: object) -> T:
        """`function(*values)`, in the thread that is about to judge. A wrong one is counted there and then, before
        the thread takes the next."""
        self._attempt.admit()
        found = function(*values)
        if found is None:
            self._attempt.fail()
        return found

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._attempt.end(failed=kind is None and self.owner is None)
        if kind is not None:
            return
        if self.owner is not None:
            throttle.forgive(self.owner.address, self._door.client_address)
            await self._door.executor.run_in_pool(throttle.record_known_address, self.owner, self._door.client_address)
        else:
            await asyncio.sleep(conf.current().auth_failure_delay)


def _begin_attempt(name: str, client_address: str) -> throttle.Attempt:
    return throttle.Attempt(account_login.full_address(name), client_address)
