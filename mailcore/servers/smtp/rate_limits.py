"""Rate limits by client address, over all processes: Postfix's anvil(8).

Clients in smtpd_client_event_limit_exceptions are not counted. Each function counts one event and returns the
rejection, or None within the limit; a limit of 0 means none.
"""

from typing import TYPE_CHECKING

from mailcore import conf, rate_counters
from mailcore.logs import writer
from mailcore.mta.policy.networks import in_networks
from mailcore.values import Reply

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession


def register_connection(session: "SmtpSession") -> int:
    """Count a new connection; return the client's number of connections. Pairs with `unregister_connection`."""
    return rate_counters.increment_held(f"{session.server.service.name} connections", session.client_address)


def unregister_connection(session: "SmtpSession") -> None:
    rate_counters.decrement_held(f"{session.server.service.name} connections", session.client_address)


def check_connection(session: "SmtpSession") -> Reply | None:
    """Check smtpd_client_connection_count_limit and smtpd_client_connection_rate_limit."""
    parameters = conf.current()
    if _is_exempt(session):
        return None
    limit, what = parameters.smtpd_client_connection_count_limit, "concurrency"
    exceeded = bool(limit) and session.connections > limit
    if not exceeded:
        exceeded, what = _is_over_limit(session, "connection", parameters.smtpd_client_connection_rate_limit), "rate"
    if not exceeded:
        return None
    writer.write(session.server.service.name, f"warning: Connection {what} limit exceeded: {session.client_label}")
    return Reply(421, "4.7.0", f"{session.hostname} Error: too many connections from {session.client_address}")


def check_message(session: "SmtpSession") -> Reply | None:
    """Check smtpd_client_message_rate_limit, at MAIL."""
    if _is_over_limit(session, "message", conf.current().smtpd_client_message_rate_limit):
        return Reply(450, "4.7.1", f"Error: too much mail from {session.client_address}")
    return None


def check_recipient(session: "SmtpSession") -> Reply | None:
    """Check smtpd_client_recipient_rate_limit, at RCPT and VRFY."""
    if _is_over_limit(session, "recipient", conf.current().smtpd_client_recipient_rate_limit):
        return Reply(450, "4.7.1", f"Error: too many recipients from {session.client_address}")
    return None


def check_tls(session: "SmtpSession") -> Reply | None:
    """Check smtpd_client_new_tls_session_rate_limit, at STARTTLS."""
    if _is_over_limit(session, "TLS session", conf.current().smtpd_client_new_tls_session_rate_limit):
        return Reply(454, "4.7.0", f"Error: too many new TLS sessions from {session.client_label}")
    return None


def check_auth(session: "SmtpSession") -> Reply | None:
    """Check smtpd_client_auth_rate_limit, at AUTH."""
    if _is_over_limit(session, "AUTH", conf.current().smtpd_client_auth_rate_limit):
        return Reply(450, "4.7.1", f"Error: too many AUTH commands from {session.client_address}")
    return None


def _is_over_limit(session: "SmtpSession", kind: str, limit: int) -> bool:
    if not limit or _is_exempt(session):
        return False
    service, address = session.server.service.name, session.client_address
    exceeded = rate_counters.count_events(f"{service} {kind}", address, conf.current().anvil_rate_time_unit) > limit
    if exceeded:
        writer.write(service, f"warning: {kind} rate limit exceeded: {session.client_label}")
    return exceeded


def _is_exempt(session: "SmtpSession") -> bool:
    return in_networks(session.client_address, conf.current().smtpd_client_event_limit_exceptions)
