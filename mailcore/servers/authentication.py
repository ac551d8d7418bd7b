"""Authentication for SMTP, IMAP, POP3 and ManageSieve: SASL exchange, throttling, check, delay after failure.

A protocol supplies the mechanisms it may offer now, and `send_challenge`, which sends a challenge and returns the
client's decoded response. A protocol's own way to cancel (a client's "*") is an exception it raises there. The check
itself is `store.auth.account_login`.
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
    """The connection that a client authenticates on."""

    executor: Executor
    service: str  # "smtp", "imap", "pop3" or "sieve".
    client_address: str


def offered_mechanisms(options: tuple[str, ...] = (), *, clear: bool) -> tuple[str, ...]:
    """Return the mechanisms to offer, strongest first; `clear` allows mechanisms that send the password itself."""
    names = sasl.available_mechanisms(options, tokens=account_login.accepts_tokens(), clear=clear)
    return names if scram.is_offered() else tuple(name for name in names if name != "SCRAM-SHA-256")


async def authenticate(
    context: AuthContext, mechanism: str, initial: bytes | None, send_challenge: SendChallenge
) -> Owner | None:
    """Run a mechanism that was offered, and return the account; None if authentication failed.

    `initial` is the initial response sent with the command. Raise SaslError if the client violates the mechanism,
    TooManyAttempts if nothing was checked and the client may try again later.
    """
    match mechanism:
        case "PLAIN":
            name, password = sasl.parse_plain(await send_challenge(b"") if initial is None else initial)
            return await authenticate_password(context, name, password)
        case "LOGIN":
            name = sasl.decode_name(initial or await send_challenge(b"Username:"))
            return await authenticate_password(context, name, sasl.decode_name(await send_challenge(b"Password:")))
        case "SCRAM-SHA-256":
            return await _scram(context, await send_challenge(b"") if initial is None else initial, send_challenge)
        case _:
            read = sasl.parse_oauthbearer if mechanism == "OAUTHBEARER" else sasl.parse_xoauth2
            return await _with_token(
                context, *read(await send_challenge(b"") if initial is None else initial), send_challenge
            )


async def authenticate_password(context: AuthContext, name: str, password: str) -> Owner | None:
    executor = context.executor
    values = name, password, context.service, context.client_address
    owner = await executor.run_in_pool(account_login.log_in_with_app_password, *values)
    if owner is None:
        async with _ThrottledAttempt(context, name) as attempt:
            owner = attempt.owner = await executor.run_password_check(attempt.check, account_login.log_in, *values)
    return owner


async def _scram(context: AuthContext, client_first: bytes, send_challenge: SendChallenge) -> Owner | None:
    exchange = Scram(client_first)
    offer = await context.executor.run_in_pool(account_login.scram_offer, exchange.name)
    challenge = exchange.challenge(offer.salt, offer.iterations, secrets.token_urlsafe(18))
    client_final = await send_challenge(challenge)
    async with _ThrottledAttempt(context, exchange.name) as attempt:
        values = offer, exchange, client_final, context.service, context.client_address
        result: tuple[Owner, bytes] | None = await context.executor.run_in_pool(
            attempt.check, account_login.log_in_with_scram, *values
        )
        attempt.owner = result[0] if result is not None else None
    if result is None:
        return None
    owner, server_final = result
    # The last message is sent as one more challenge, with an empty response (RFC 4422 §5).
    if await send_challenge(server_final):
        raise sasl.SaslError("an empty response expected")
    return owner


async def _with_token(context: AuthContext, name: str, token: str, send_challenge: SendChallenge) -> Owner | None:
    async with _ThrottledAttempt(context, name) as attempt:
        values = name, token, context.service, context.client_address
        owner = attempt.owner = await context.executor.run_password_check(
            attempt.check, account_login.log_in_with_token, *values
        )
    if owner is None:
        await send_challenge(sasl.oauth_failure())
    return owner


class _ThrottledAttempt:
    """A context manager that waits, runs the check and counts its result.

    The block sets `owner`. Raise TooManyAttempts.
    """

    def __init__(self, context: AuthContext, name: str) -> None:
        self._context = context
        self._name = name
        self.owner: Owner | None = None

    async def __aenter__(self) -> Self:
        try:
            self._attempt = await self._context.executor.run_in_pool(
                _begin_attempt, self._name, self._context.client_address
            )
        except TooManyAttempts:
            await _delay_failure()
            raise
        try:
            await asyncio.sleep(self._attempt.wait)
        except BaseException:
            self._attempt.end(failed=False)
            raise
        return self

    def check(self, function: Callable[..., T], *values: object) -> T:
        """Call `function(*values)` in the thread that checks the password.

        A failure is counted there at once, before the thread takes the next attempt.
        """
        self._attempt.admit()
        result = function(*values)
        if result is None:
            self._attempt.fail()
        return result

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._attempt.end(failed=kind is None and self.owner is None)
        if kind is TooManyAttempts:
            await _delay_failure()
        if kind is not None:
            return
        if self.owner is not None:
            throttle.forgive(self.owner.address, self._context.client_address)
            await self._context.executor.run_in_pool(
                throttle.record_known_address, self.owner, self._context.client_address
            )
        else:
            await _delay_failure()


async def _delay_failure() -> None:
    """Wait before a failure is reported.

    Refused attempts wait too: 60 connections that tried again at once took 8 of 12 seconds of both processors.
    """
    await asyncio.sleep(conf.current().auth_failure_delay)


def _begin_attempt(name: str, client_address: str) -> throttle.Attempt:
    return throttle.Attempt(account_login.full_address(name), client_address)
