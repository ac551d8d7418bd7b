"""Policy service client: query a service about a command (Postfix's SMTPD_POLICY_README).

A request is lines of name=value and an empty line; the answer is `action=…`, with an access table's value. Connections
are reused. On any failure, or after smtpd_policy_service_timeout, the answer is smtpd_policy_service_default_action.
"""

import contextlib
import socket
from collections import defaultdict
from threading import Lock
from time import monotonic

from mailcore import conf
from mailcore.mta.policy.restrictions import access_tables
from mailcore.mta.policy.restrictions.evaluation import Evaluation, Misconfigured, Result

_MAX_ANSWER = 65536

_idle: dict[str, list[tuple[float, socket.socket]]] = defaultdict(list)  # By endpoint, with the time of last use.
_lock = Lock()


def check_policy_service(evaluation: Evaluation, endpoint: str) -> Result:
    parameters = conf.current()
    request = _build_request(evaluation)
    try:
        action = _query_service(endpoint, request)
    except (OSError, ValueError) as error:
        evaluation.notes.append(("warning", f"problem talking to server {endpoint}: {error}"))
        action = parameters.smtpd_policy_service_default_action
    return access_tables.evaluate_result(evaluation, endpoint, action, evaluation.subject)


def _build_request(evaluation: Evaluation) -> bytes:
    question, client = evaluation.question, evaluation.question.client
    protocol, _, cipher = client.tls.partition(" with cipher ")
    late = question.stage in ("DATA", "END-OF-MESSAGE")
    attributes = {
        "request": "smtpd_access_policy",
        "protocol_state": question.stage,
        "protocol_name": client.protocol.removesuffix("A").removesuffix("S"),
        "client_address": client.address,
        "client_name": client.name,
        "client_port": client.port,
        "reverse_client_name": client.reverse_name,
        "helo_name": client.helo,
        "sender": question.sender or "",
        "recipient": question.recipient or "",
        "recipient_count": question.recipients if late else 0,
        "queue_id": question.queue_id,
        "instance": question.instance,
        "size": question.size,
        "etrn_domain": question.etrn_domain or "",
        "stress": "",
        "sasl_method": client.method,
        "sasl_username": client.login,
        "sasl_sender": "",
        "ccert_subject": "",
        "ccert_issuer": "",
        "ccert_fingerprint": client.certificate,
        "ccert_pubkey_fingerprint": "",
        "encryption_protocol": protocol,
        "encryption_cipher": cipher.partition(" ")[0],
        "encryption_keysize": cipher.partition("(")[2].partition("/")[0] or 0,
        "policy_context": "",
    }
    lines = (f"{name}={str(value).translate(_BREAKS)}\n" for name, value in attributes.items())
    return ("".join(lines) + "\n").encode("utf-8", "replace")


_BREAKS = {10: "?", 13: "?", 0: "?"}


def _query_service(endpoint: str, request: bytes) -> str:
    """Return the action. Raise OSError or ValueError."""
    idle = _take_idle(endpoint)
    if idle is not None:
        try:
            return _exchange(endpoint, idle, request)
        except (OSError, ValueError):
            idle.close()  # The service may have closed it while it was idle; a new connection decides.
    return _exchange(endpoint, _connect(endpoint), request)


def _exchange(endpoint: str, connection: socket.socket, request: bytes) -> str:
    try:
        connection.sendall(request)
        answer = b""
        while not answer.endswith(b"\n\n"):
            chunk = connection.recv(4096)
            if not chunk or len(answer) > _MAX_ANSWER:
                raise ValueError("no proper answer")
            answer += chunk
    except BaseException:
        connection.close()
        raise
    with _lock:
        _idle[endpoint].append((monotonic(), connection))
    for line in answer.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "action":
            return value.strip()
    raise ValueError("an answer without action")


def _take_idle(endpoint: str) -> socket.socket | None:
    """Return a connection that was idle for at most smtpd_policy_service_max_idle."""
    oldest = monotonic() - conf.current().smtpd_policy_service_max_idle
    with _lock:
        waiting = _idle[endpoint]
        while waiting:
            left_at, connection = waiting.pop()
            if left_at >= oldest:
                return connection
            connection.close()
    return None


def _connect(endpoint: str) -> socket.socket:
    kind, _, location = endpoint.partition(":")
    timeout = conf.current().smtpd_policy_service_timeout
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        with contextlib.ExitStack() as failed:
            failed.callback(connection.close)
            connection.settimeout(timeout)
            connection.connect(location)
            failed.pop_all()
        return connection
    host, _, port = location.rpartition(":")
    if kind != "inet" or not port.isdigit():
        raise Misconfigured(f"check_policy_service {endpoint}: neither inet:host:port nor unix:path")
    return socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout)
