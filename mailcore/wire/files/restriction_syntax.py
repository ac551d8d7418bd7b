"""The grammar of restriction lists such as `smtpd_recipient_restrictions` (postconf(5), access(5)).

It knows the words and their arguments; `mailcore.mta.policy.restrictions` evaluates them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

WARN = "warn_if_reject"

# The argument of a word: none, a table ("hash:clients"), a domain to look up, or an endpoint.
Argument = Literal["", "table", "zone", "service"]

_PLAIN = """
    permit reject defer defer_if_permit defer_if_reject warn_if_reject
    permit_inet_interfaces permit_mynetworks permit_sasl_authenticated permit_tls_clientcerts
    permit_tls_all_clientcerts permit_auth_destination permit_mx_backup
    reject_plaintext_session reject_unauth_pipelining reject_multi_recipient_bounce
    reject_unknown_client_hostname reject_unknown_reverse_client_hostname
    reject_invalid_helo_hostname reject_non_fqdn_helo_hostname reject_unknown_helo_hostname
    reject_non_fqdn_sender reject_unknown_sender_domain reject_unlisted_sender
    reject_authenticated_sender_login_mismatch reject_unauthenticated_sender_login_mismatch
    reject_known_sender_login_mismatch reject_sender_login_mismatch
    reject_non_fqdn_recipient reject_unknown_recipient_domain reject_unlisted_recipient
    reject_unauth_destination defer_unauth_destination
"""
_ZONE = """
    reject_rbl_client permit_dnswl_client reject_rhsbl_client permit_rhswl_client
    reject_rhsbl_reverse_client reject_rhsbl_helo reject_rhsbl_sender reject_rhsbl_recipient
"""
_TABLE = """
    check_client_access check_reverse_client_hostname_access check_ccert_access check_helo_access
    check_sender_access check_recipient_access check_sasl_access check_etrn_access
"""

KEYWORDS: dict[str, Argument] = {
    **dict.fromkeys(_PLAIN.split(), ""),
    **dict.fromkeys(_ZONE.split(), "zone"),
    **dict.fromkeys(_TABLE.split(), "table"),
    "check_policy_service": "service",
}

# Names from earlier versions of Postfix.
OLDER: Mapping[str, str] = {
    "reject_unknown_client": "reject_unknown_client_hostname",
    "reject_invalid_hostname": "reject_invalid_helo_hostname",
    "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
    "reject_unknown_hostname": "reject_unknown_helo_hostname",
    "reject_unknown_address": "reject_unknown_sender_domain",
    "reject_rbl": "reject_rbl_client",
    "check_recipient_maps": "reject_unlisted_recipient",
    "check_relay_domains": "reject_unauth_destination",
}

# Parameter → the keyword meant by a table that stands alone in its list.
LISTS: Mapping[str, str] = {
    "smtpd_client_restrictions": "check_client_access",
    "smtpd_helo_restrictions": "check_helo_access",
    "smtpd_sender_restrictions": "check_sender_access",
    "smtpd_relay_restrictions": "check_recipient_access",
    "smtpd_recipient_restrictions": "check_recipient_access",
    "smtpd_data_restrictions": "",
    "smtpd_end_of_data_restrictions": "",
    "smtpd_etrn_restrictions": "check_etrn_access",
    "local_header_rewrite_clients": "check_client_access",
}
# one of these lists must prevent an open relay
RELAY_LISTS = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")

# Words that stop all mail except that of own or permitted clients.
GUARDS = frozenset(("reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination"))


@dataclass(frozen=True, slots=True)
class Restriction:
    name: str  # a keyword, or the name of a restriction class
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.argument}" if self.argument else self.name


class RestrictionError(ValueError):
    """The list cannot be parsed."""


def parse_restrictions(words: Sequence[str], classes: Collection[str] = (), table: str = "") -> tuple[Restriction, ...]:
    """Parse the words of a list; raise RestrictionError.

    `classes` are the names in smtpd_restriction_classes; `table` is the keyword meant by a table that stands alone
    ("check_client_access").
    """
    return tuple(_restrictions(iter(words), classes, table))


def _restrictions(words: Iterator[str], classes: Collection[str], table: str) -> Iterable[Restriction]:
    for word in words:
        name = word.lower()
        name = OLDER.get(name, name)
        if word in classes:
            yield Restriction(word)
        elif name in KEYWORDS:
            yield Restriction(name, _argument(name, words))
        elif ":" in word and table:
            yield Restriction(table, word)
        else:
            raise RestrictionError(f'unknown smtpd restriction: "{word}"')


def _argument(name: str, words: Iterator[str]) -> str:
    kind = KEYWORDS[name]
    if not kind:
        return ""
    argument = next(words, "")
    if kind == "service" and ":" not in argument:
        raise RestrictionError(f"restriction {name} must be followed by transport:server")
    if not argument or argument.lower() in KEYWORDS:
        raise RestrictionError(f"restriction {name} must be followed by a {'domain' if kind == 'zone' else kind}")
    return argument


def stops_open_relay(restrictions: Sequence[Restriction]) -> bool:
    """Return True if the list always refuses mail from unknown clients to remote destinations.

    Tables and name servers cannot change that.
    """
    warned = False
    for restriction in restrictions:
        if restriction.name == WARN:
            warned = True
        elif restriction.name in GUARDS and not warned:
            return True
        elif restriction.name == "permit":
            return False
        else:
            warned = False
    return False
