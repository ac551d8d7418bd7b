"""Who comes too often, or with too much: Postfix's limits by client address, over all processes (anvil(8)).

Clients in smtpd_client_event_limit_exceptions are not counted. Each function counts one event and returns
the refusal, None within the limit; 0 as a limit means none.
"""

from typing import TYPE_CHECKING

from mailcore import anvil, conf, log
from mailcore.post.networks import in_networks
from mailcore.terms import Reply

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession


def enter(session: "SmtpSession") -> int:
    """A connection begins; how many this client has now. Every `enter` has its `leave`."""
    return anvil.enter(f"{session.server.service.name} connections", session.client_address)


def leave(session: "SmtpSession") -> None:
    anvil.leave(f"{session.server.service.name} connections", session.client_address)


def connection(session: "SmtpSession") -> Reply | None:
    """smtpd_client_connection_count_limit, smtpd_client_connection_rate_limit."""
    parameters = conf.current()
    if _excepted(session):
        return None
    limit, what = parameters.smtpd_client_connection_count_limit, "concurrency"
    over = bool(limit) and session.connections > limit
    if not over:
        over, what = _over(session, "connection", parameters.smtpd_client_connection_rate_limit), "rate"
    if not over:
        return None
    log.write(session.server.service.name, f"warning: Connection {what} limit exceeded: {session.who}")
    return Reply(421, "4.7.0", f"{session.hostname} Error: too many connections from {session.client_address}")


def message(session: "SmtpSession") -> Reply | None:
    """smtpd_client_message_rate_limit, at MAIL."""
    if _over(session, "message", conf.current().smtpd_client_message_rate_limit):
        return Reply(450, "4.7.1", f"Error: too much mail from {session.client_address}")
    return None


def recipient(session: "SmtpSession") -> Reply | None:
    """smtpd_client_recipient_rate_limit, at RCPT and VRFY."""
    if _over(session, "recipient", conf.current().smtpd_client_recipient_rate_limit):
        return Reply(450, "4.7.1", f"Error: too many recipients from {session.client_address}")
    return None


def new_tls(session: "SmtpSession") -> Reply | None:
    """smtpd_client_new_tls_session_rate_limit, at STARTTLS."""
    if _over(session, "TLS session", conf.current().smtpd_client_new_tls_session_rate_limit):
        return Reply(454, "4.7.0", f"Error: too many new TLS sessions from {session.who}")
    return None


def auth(session: "SmtpSession") -> Reply | None:
    """smtpd_client_auth_rate_limit, at AUTH."""
    if _over(session, "AUTH", conf.current().smtpd_client_auth_rate_limit):
        return Reply(450, "4.7.1", f"Error: too many AUTH commands from {session.client_address}")
    return None


def _over(session: "SmtpSession", kind: str, limit: int) -> bool:
    if not limit or _excepted(session):
        return False
    service, address = session.server.service.name, session.client_address
    over = anvil.rate(f"{service} {kind}", address, conf.current().anvil_rate_time_unit) > limit
    if over:
        log.write(service, f"warning: {kind} rate limit exceeded: {session.who}")
    return over


def _excepted(session: "SmtpSession") -> bool:
    return in_networks(session.client_address, conf.current().smtpd_client_event_limit_exceptions)
