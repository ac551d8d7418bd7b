"""Acceptance policy: decide at SMTP time whether a client may send a message to a recipient.

Unknown users, relaying and full mailboxes are rejected while the client is connected, so nothing bounces later. Called
by the SMTP and LMTP servers, once per command. Results are `Verdict`s; the texts are Postfix's. With
smtpd_delay_reject, clients, HELO names and senders are checked at RCPT, when the log can name the recipient.
"""

from collections.abc import Callable, Sequence

from django.db import DatabaseError

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.policy import restrictions
from mailcore.mta.policy.restrictions import PERMIT, Evaluation, Misconfigured, RestrictionInput, Step
from mailcore.mta.policy.restrictions.recipients import reject_unlisted_recipient
from mailcore.mta.policy.restrictions.senders import reject_unlisted_sender
from mailcore.mta.queue import content_files
from mailcore.mta.routing import route
from mailcore.store.mailbox import quota_limits
from mailcore.values import Client, Local, Refused, Reply, Verdict

_OK = Reply(250, "2.1.5", "Ok")
_MISCONFIGURED = Reply(451, "4.3.5", "Server configuration error")


def needs_network() -> bool:
    """Return True if the active lists query name servers or policy services, so that a verdict may take time."""
    return restrictions.current_lists().needs_network


def needs_client_names() -> bool:
    """Return True if the names of clients must be looked up."""
    return conf.current().smtpd_peername_lookup or restrictions.current_lists().needs_client_names


def should_complete_headers(client: Client) -> bool:
    """Return True if missing headers are added to this client's messages (local_header_rewrite_clients)."""
    question = RestrictionInput("DATA", client)
    evaluation = Evaluation(question, restrictions.current_lists())
    parameter = "local_header_rewrite_clients"
    return (
        evaluation.run(
            parameter, (question.client_label, "Client host"), restrictions.current_lists().restrictions_of(parameter)
        )
        == PERMIT
    )


def has_restrictions(stage: str) -> bool:
    """Return True if there are restrictions for DATA or END-OF-MESSAGE."""
    lists = restrictions.current_lists()
    parameter = _AFTER[stage][0]
    return parameter in lists.errors or bool(lists.restrictions_of(parameter))


def check_connection(question: RestrictionInput) -> Verdict:
    """Check at CONNECT, without smtpd_delay_reject."""
    return _evaluate(question, _client_stage)


def check_helo(question: RestrictionInput) -> Verdict:
    """Check at HELO, without smtpd_delay_reject."""
    return _evaluate(question, _helo_stage)


def check_sender(question: RestrictionInput) -> Verdict:
    """Check at MAIL, without smtpd_delay_reject."""
    return _evaluate(question, _sender_stage)


def check_recipient(question: RestrictionInput) -> Verdict:
    """Check at RCPT and VRFY: all delayed lists, relaying, the recipient, and its quota."""
    return _evaluate(question, _recipient_stage)


def check_data(question: RestrictionInput) -> Verdict:
    """Check at DATA and END-OF-MESSAGE."""
    return _evaluate(question, _data_stage)


def check_etrn(question: RestrictionInput) -> Verdict:
    return _evaluate(question, _etrn_stage)


def explain_recipient(question: RestrictionInput) -> tuple[Verdict, Evaluation, list[Step]]:
    """Run `check_recipient` with a trace of every step, without logging."""
    trace: list[Step] = []
    evaluation = Evaluation(question, restrictions.current_lists(), trace)
    return _decide(evaluation, _recipient_stage), evaluation, trace


def check_size(size: int) -> Reply | None:
    """Return the rejection of a message of `size` bytes (SIZE= or received so far), None if it is acceptable."""
    limit = conf.current().message_size_limit
    if limit and size > limit:
        return Reply(552, "5.3.4", "Message size exceeds fixed limit")
    if content_files.free_space() < max(conf.current().queue_minfree, limit * 3 // 2):
        return Reply(452, "4.3.1", "Insufficient system storage")
    return None


# --- Stages ---------------------------------------------------------------------------------------

_Stage = Callable[[Evaluation], Verdict]


def _evaluate(question: RestrictionInput, stage: _Stage) -> Verdict:
    evaluation = Evaluation(question, restrictions.current_lists())
    verdict = _decide(evaluation, stage)
    if evaluation.notes:
        writer.write(question.client.service, *(_log_line(question, what, text) for what, text in evaluation.notes))
    if not verdict.accepted:
        writer.write(question.client.service, _log_line(question, "reject", str(verdict.reply)))
    return verdict


def _decide(evaluation: Evaluation, stage: _Stage) -> Verdict:
    try:
        return stage(evaluation)
    except Misconfigured as error:
        evaluation.notes.append(("warning", str(error)))
        return Verdict(False, _MISCONFIGURED)
    except DatabaseError as error:
        name = evaluation.question.recipient or evaluation.question.sender or evaluation.question.client_label
        evaluation.notes.append(("warning", f"lookup error: {type(error).__name__}"))
        return Verdict(False, Reply(451, "4.3.0", f"<{name}>: Temporary lookup failure"))


def _log_line(question: RestrictionInput, what: str, text: str) -> str:
    """Return Postfix's "NOQUEUE: reject: RCPT from name[address]: text; from=<> to=<> proto=ESMTP helo=<>"."""
    if what == "warning":
        return f"warning: {text}"
    line = f"{question.queue_id or 'NOQUEUE'}: {what}: {question.stage} from {question.client_label}: {text};"
    if question.sender is not None:
        line += f" from=<{question.sender}>"
    if question.recipient is not None:
        line += f" to=<{question.recipient}>"
    line += f" proto={question.client.protocol}"
    return f"{line} helo=<{question.client.helo}>" if question.client.helo else line


def _run_list(evaluation: Evaluation, parameter: str, name: str, kind: str) -> Reply | None:
    found = restrictions.current_lists().restrictions_of(parameter)
    if not found:
        return None
    result = evaluation.run(parameter, (name, kind), found)
    return result if isinstance(result, Reply) else None


def _client_stage(evaluation: Evaluation) -> Verdict:
    evaluation.begin()
    refusal = _run_list(evaluation, "smtpd_client_restrictions", evaluation.question.client_label, "Client host")
    return _make_verdict(evaluation, refusal)


def _helo_stage(evaluation: Evaluation) -> Verdict:
    evaluation.begin()
    name = evaluation.question.client.helo
    refusal = _run_list(evaluation, "smtpd_helo_restrictions", name, "Helo command") if name else None
    return _make_verdict(evaluation, refusal)


def _sender_stage(evaluation: Evaluation) -> Verdict:
    evaluation.begin()
    name = evaluation.question.sender or ""
    refusal = _run_list(evaluation, "smtpd_sender_restrictions", name, "Sender address")
    if refusal is None and name and conf.current().smtpd_reject_unlisted_sender:
        unlisted = reject_unlisted_sender(evaluation, "")
        refusal = unlisted if isinstance(unlisted, Reply) else None
    return _make_verdict(evaluation, refusal)


def _recipient_stage(evaluation: Evaluation) -> Verdict:
    address = evaluation.question.recipient or ""
    if address.lower() == "postmaster":
        return _check_destination(evaluation, address)  # Always accepted (RFC 5321 §4.5.1).
    if conf.current().smtpd_delay_reject:
        for stage in (_client_stage, _helo_stage, _sender_stage):
            verdict = stage(evaluation)
            if not verdict.accepted:
                return verdict
    if not restrictions.current_lists().stops_open_relay:
        raise Misconfigured(conf.OPEN_RELAY)
    evaluation.begin()
    refusal = None
    for parameter in _list_order():
        refusal = refusal or _run_list(evaluation, parameter, address, "Recipient address")
    result = refusal or evaluation.permitted()
    if result is None and evaluation.recipient_route is None and conf.current().smtpd_reject_unlisted_recipient:
        result = None if evaluation.actions.discard else reject_unlisted_recipient(evaluation, "")
    if isinstance(result, Reply):
        return Verdict(False, result)
    return _check_destination(evaluation, address)


def _list_order() -> Sequence[str]:
    lists = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
    return lists if conf.current().smtpd_relay_before_recipient_restrictions else lists[::-1]


def _check_destination(evaluation: Evaluation, address: str) -> Verdict:
    """Check the destination's quota; the verdict names its mailbox if that is certain.

    Then trace headers can be written at DATA.
    """
    actions = evaluation.actions
    destination = evaluation.recipient_route or route.route_address(address)
    if isinstance(destination, Refused) and not actions.discard and address.lower() == "postmaster":
        return Verdict(False, Reply(550, "5.1.1", f"<{address}>: Recipient address rejected: {destination.reply.text}"))
    if isinstance(destination, Local) and not actions.discard and not actions.redirect:
        full = (
            quota_limits.check_room(destination.account_id, evaluation.question.size) if destination.limited else None
        )
        if full is not None:
            text = f"<{address}>: Recipient address rejected: {full.text}"
            return Verdict(False, Reply(full.code, full.enhanced, text))
        return Verdict(True, _OK, destination.address, actions)
    return Verdict(True, _OK, actions=actions)


_AFTER = {
    "DATA": ("smtpd_data_restrictions", "Data command"),
    "END-OF-MESSAGE": ("smtpd_end_of_data_restrictions", "End-of-data"),
}


def _data_stage(evaluation: Evaluation) -> Verdict:
    parameter, kind = _AFTER[evaluation.question.stage]
    refusal = _run_list(evaluation, parameter, evaluation.question.stage, kind)
    result = refusal or evaluation.permitted()
    return _make_verdict(evaluation, result if isinstance(result, Reply) else None)


def _etrn_stage(evaluation: Evaluation) -> Verdict:
    if conf.current().smtpd_delay_reject:
        for stage in (_client_stage, _helo_stage):
            verdict = stage(evaluation)
            if not verdict.accepted:
                return verdict
    name = evaluation.question.etrn_domain or ""
    refusal = _run_list(evaluation, "smtpd_etrn_restrictions", name, "Etrn command")
    result = refusal or evaluation.permitted()
    return _make_verdict(evaluation, result if isinstance(result, Reply) else None)


def _make_verdict(evaluation: Evaluation, refusal: Reply | None) -> Verdict:
    return Verdict(refusal is None, refusal or _OK, actions=evaluation.actions)
