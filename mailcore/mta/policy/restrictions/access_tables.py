"""Access tables: the keys looked up, their order, and the meaning of the values (access(5))."""

import re
from collections.abc import Sequence

from mailcore import conf
from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Misconfigured, Result
from mailcore.store.settings import lookup_tables
from mailcore.wire.message import envelope_address as addresses

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+(.*))?", re.DOTALL)
_CODE = re.compile(r"([45]\d\d)\s+(.*)", re.DOTALL)
_HEADER = re.compile(r"[!-9;-~]+:\s*\S.*")


# --- Keys -----------------------------------------------------------------------------------------


def domain_keys(name: str) -> list[str]:
    """Return a name and its parents, as `example.com` (smtpd_access_maps is in parent_domain_matches_subdomains)."""
    if not name or name.startswith("[") or re.fullmatch(r"[\d.]+|.*:.*", name):
        return [name] if name else []
    parts = name.split(".")
    return [".".join(parts[at:]) for at in range(len(parts))]


def address_keys(address: str) -> list[str]:
    """Return 192.0.2.7, 192.0.2, 192.0, 192; for an IPv6 address the prefixes of its groups."""
    mark = ":" if ":" in address else "."
    parts = address.split(mark)
    return [mark.join(parts[:count]) for count in range(len(parts), 0, -1) if parts[count - 1]]


def mail_keys(address: str) -> list[str]:
    """Return user+ext@domain, user@domain, domain and its parents, user+ext@, user@."""
    local, domain = addresses.split_address(address)
    domain = domain or conf.current().myorigin
    name, extension = addresses.split_extension(local, conf.current().recipient_delimiter)
    names = [local, name] if extension else [local]
    return [
        *(f"{each}@{domain}" for each in names),
        *domain_keys(domain),
        *(f"{each}@" for each in names),
    ]


# --- Restrictions ---------------------------------------------------------------------------------


def check_client(evaluation: Evaluation, table: str) -> Result:
    client = evaluation.question.client
    keys = [*domain_keys("" if client.name == "unknown" else client.name), *address_keys(client.address)]
    return _look_up(evaluation, table, keys, (evaluation.question.client_label, "Client host"))


def check_reverse_client(evaluation: Evaluation, table: str) -> Result:
    client = evaluation.question.client
    keys = [
        *domain_keys("" if client.reverse_name == "unknown" else client.reverse_name),
        *address_keys(client.address),
    ]
    result = _look_up(evaluation, table, keys, (client.reverse_name, "Unverified Client host"))
    return None if result == PERMIT else result  # Anyone can give an address any reverse name, so it never permits.


def check_certificate(evaluation: Evaluation, table: str) -> Result:
    certificate = evaluation.question.client.certificate
    keys = [certificate] if certificate else []
    return _look_up(evaluation, table, keys, (evaluation.question.client_label, "Client certificate"))


def check_helo(evaluation: Evaluation, table: str) -> Result:
    helo = evaluation.question.client.helo
    return _look_up(evaluation, table, domain_keys(helo), (helo, "Helo command"))


def check_sender(evaluation: Evaluation, table: str) -> Result:
    sender = evaluation.question.sender
    if sender is None:
        return None
    keys = mail_keys(sender) if sender else [conf.current().smtpd_null_access_lookup_key]
    return _look_up(evaluation, table, keys, (sender, "Sender address"))


def check_recipient(evaluation: Evaluation, table: str) -> Result:
    recipient = evaluation.question.recipient
    keys = mail_keys(recipient) if recipient else []
    return _look_up(evaluation, table, keys, (recipient or "", "Recipient address"))


def check_login(evaluation: Evaluation, table: str) -> Result:
    login = evaluation.question.client.login
    return _look_up(evaluation, table, [login] if login else [], (login, "SASL login name"))


def check_etrn(evaluation: Evaluation, table: str) -> Result:
    domain = evaluation.question.etrn_domain or ""
    return _look_up(evaluation, table, domain_keys(domain), (domain, "Etrn command"))


def _look_up(evaluation: Evaluation, table: str, keys: Sequence[str], subject: tuple[str, str]) -> Result:
    value = lookup_tables.find_first([table], keys) if keys else None
    return None if value is None else evaluate_result(evaluation, table, value, subject)


# --- Values ---------------------------------------------------------------------------------------


def evaluate_result(evaluation: Evaluation, source: str, value: str, subject: tuple[str, str]) -> Result:
    """Evaluate a table's value or a policy service's answer. `source` is named in error messages."""
    word, _, text = value.strip().partition(" ")
    text = text.strip()
    name, kind = subject
    match word.upper():
        case "DUNNO":
            return None
        case "OK" | "RELAY":
            return PERMIT
        case "REJECT":
            return _refuse(evaluation, conf.current().access_map_reject_code, text or "Access denied", subject)
        case "DEFER":
            return _refuse(evaluation, conf.current().access_map_defer_code, text or "Access denied", subject)
        case "DEFER_IF_PERMIT":
            return evaluation.defer_if_permit(*_refusal(450, text or "Service unavailable", subject))
        case "DEFER_IF_REJECT":
            evaluation.defer_if_reject(*_refusal(450, text or "Service unavailable", subject))
            return None
        case "WARN" | "INFO":
            evaluation.notes.append((word.lower(), text))
            return None
        case "HOLD":
            evaluation.act("hold", f"<{name}>: {kind} {text or 'triggers HOLD action'}", hold=True)
            return None
        case "DISCARD":
            evaluation.act("discard", f"<{name}>: {kind} {text or 'triggers DISCARD action'}", discard=True)
            return PERMIT
        case "REDIRECT":
            evaluation.act(
                "redirect", f"<{name}>: {kind} triggers REDIRECT {text}", redirect=_redirect_target(source, word, text)
            )
            return None
        case "BCC":
            bcc = (*evaluation.actions.bcc, _redirect_target(source, word, text))
            evaluation.act("bcc", f"<{name}>: {kind} triggers BCC {text}", bcc=bcc)
            return None
        case "PREPEND":
            return _add_prepend(evaluation, source, text)
    if value.strip().isdigit():
        return PERMIT
    if coded := _CODE.fullmatch(value.strip()):
        return _refuse(evaluation, int(coded[1]), coded[2], subject)
    return _run_named(evaluation, source, value)


def _refuse(evaluation: Evaluation, code: int, text: str, subject: tuple[str, str]) -> Result:
    return evaluation.reject(*_refusal(code, text, subject))


def _refusal(code: int, text: str, subject: tuple[str, str]) -> tuple[int, str, str]:
    """Return (code, enhanced status, text); the text may begin with its own enhanced status code (RFC 3463)."""
    status = _STATUS.fullmatch(text)
    enhanced, words = (status[1], status[2] or "Access denied") if status else ("5.7.1", text)
    return code, enhanced, f"<{subject[0]}>: {subject[1]} rejected: {words}"


def _redirect_target(source: str, word: str, text: str) -> str:
    try:
        target = addresses.parse_address(text)
    except addresses.AddressError:
        target = ""
    if "@" not in target:
        raise Misconfigured(f"{source}: {word} requires user@domain target")
    return target


def _add_prepend(evaluation: Evaluation, source: str, text: str) -> Result:
    if evaluation.question.stage == "END-OF-MESSAGE":
        raise Misconfigured(f"{source}: PREPEND comes too late in smtpd_end_of_data_restrictions")
    if not _HEADER.fullmatch(text):
        raise Misconfigured(f"{source}: PREPEND requires header: text")
    prepend = (*evaluation.actions.prepend, text)
    evaluation.act("prepend", text.partition(":")[0], prepend=prepend)
    return None


def _run_named(evaluation: Evaluation, source: str, value: str) -> Result:
    """Evaluate restrictions, or a restriction class, by name."""
    if ":" in value:
        raise Misconfigured(f"{source}: {value}: lookup tables belong into a restriction class, not into a table")
    words = re.split(r"[,\s]+", value.strip(", \t"))
    if words == [""]:
        raise Misconfigured(f"{source}: an entry with an empty value")
    return evaluation.follow(source, evaluation.lists.compile(words))
