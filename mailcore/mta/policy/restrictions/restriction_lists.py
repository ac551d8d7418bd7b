"""The active restriction lists, compiled for evaluation, and the check that they prevent open relaying."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mailcore import conf
from mailcore.mta.policy.restrictions import access_tables, clients, dns_lists, policy_service, recipients, senders
from mailcore.mta.policy.restrictions.evaluation import CompiledRestriction, Evaluation, Misconfigured, Result
from mailcore.wire.files import restriction_syntax as grammar

_CHECKS: Mapping[str, Callable[[Evaluation, str], Result] | None] = {
    "permit": recipients.permit,
    "reject": recipients.reject,
    "defer": recipients.defer,
    "defer_if_permit": recipients.defer_if_permit,
    "defer_if_reject": recipients.defer_if_reject,
    grammar.WARN: None,
    "permit_inet_interfaces": clients.permit_inet_interfaces,
    "permit_mynetworks": clients.permit_mynetworks,
    "permit_sasl_authenticated": clients.permit_sasl_authenticated,
    "permit_tls_clientcerts": clients.permit_tls_clientcerts,
    "permit_tls_all_clientcerts": clients.permit_tls_all_clientcerts,
    "reject_plaintext_session": clients.reject_plaintext_session,
    "reject_unauth_pipelining": clients.reject_unauth_pipelining,
    "reject_unknown_client_hostname": clients.reject_unknown_client_hostname,
    "reject_unknown_reverse_client_hostname": clients.reject_unknown_reverse_client_hostname,
    "reject_invalid_helo_hostname": clients.reject_invalid_helo_hostname,
    "reject_non_fqdn_helo_hostname": clients.reject_non_fqdn_helo_hostname,
    "reject_unknown_helo_hostname": clients.reject_unknown_helo_hostname,
    "reject_non_fqdn_sender": senders.reject_non_fqdn_sender,
    "reject_unknown_sender_domain": senders.reject_unknown_sender_domain,
    "reject_unlisted_sender": senders.reject_unlisted_sender,
    "reject_authenticated_sender_login_mismatch": senders.reject_authenticated_sender_login_mismatch,
    "reject_unauthenticated_sender_login_mismatch": senders.reject_unauthenticated_sender_login_mismatch,
    "reject_known_sender_login_mismatch": senders.reject_known_sender_login_mismatch,
    "reject_sender_login_mismatch": senders.reject_sender_login_mismatch,
    "permit_auth_destination": recipients.permit_auth_destination,
    "permit_mx_backup": recipients.permit_mx_backup,
    "reject_unauth_destination": recipients.reject_unauth_destination,
    "defer_unauth_destination": recipients.defer_unauth_destination,
    "reject_non_fqdn_recipient": senders.reject_non_fqdn_recipient,
    "reject_unknown_recipient_domain": senders.reject_unknown_recipient_domain,
    "reject_unlisted_recipient": recipients.reject_unlisted_recipient,
    "reject_multi_recipient_bounce": recipients.reject_multi_recipient_bounce,
    "reject_rbl_client": dns_lists.reject_rbl_client,
    "permit_dnswl_client": dns_lists.permit_dnswl_client,
    "reject_rhsbl_client": dns_lists.reject_rhsbl_client,
    "permit_rhswl_client": dns_lists.permit_rhswl_client,
    "reject_rhsbl_reverse_client": dns_lists.reject_rhsbl_reverse_client,
    "reject_rhsbl_helo": dns_lists.reject_rhsbl_helo,
    "reject_rhsbl_sender": dns_lists.reject_rhsbl_sender,
    "reject_rhsbl_recipient": dns_lists.reject_rhsbl_recipient,
    "check_client_access": access_tables.check_client,
    "check_reverse_client_hostname_access": access_tables.check_reverse_client,
    "check_ccert_access": access_tables.check_certificate,
    "check_helo_access": access_tables.check_helo,
    "check_sender_access": access_tables.check_sender,
    "check_recipient_access": access_tables.check_recipient,
    "check_sasl_access": access_tables.check_login,
    "check_etrn_access": access_tables.check_etrn,
    "check_policy_service": policy_service.check_policy_service,
}

# Checks that query over the network, and so may take time.
_NETWORK_CHECKS = {name for name, kind in grammar.KEYWORDS.items() if kind in ("zone", "service")} | {
    *("reject_unknown_helo_hostname", "reject_unknown_sender_domain", "reject_unknown_recipient_domain"),
    "permit_mx_backup",
}
# Checks that use the client's name, which is looked up before.
_CLIENT_NAME_CHECKS = {
    *("reject_unknown_client_hostname", "reject_unknown_reverse_client_hostname"),
    *("check_client_access", "check_reverse_client_hostname_access", "check_policy_service"),
    *("reject_rhsbl_client", "permit_rhswl_client", "reject_rhsbl_reverse_client"),
}


@dataclass(slots=True)
class RestrictionLists:
    """A consistent set of lists, compiled from one set of parameters."""

    parameters: conf.Parameters
    needs_network: bool = False  # Some restriction queries over the network.
    needs_client_names: bool = False  # Some restriction uses the client's name.
    stops_open_relay: bool = False  # An unauthenticated client cannot relay to other hosts.
    errors: dict[str, str] = field(default_factory=dict)  # Parameter → its error.
    _compiled: dict[str, tuple[CompiledRestriction, ...]] = field(default_factory=dict)
    _table_entries: dict[tuple[str, ...], tuple[CompiledRestriction, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        guarded = False
        for parameter, table in grammar.LISTS.items():
            try:
                parsed = grammar.parse_restrictions(getattr(self.parameters, parameter), self.classes, table)
            except grammar.RestrictionError as error:
                self.errors[parameter] = str(error)
                continue
            self._compiled[parameter] = self._compile(parsed)
            if parameter in grammar.RELAY_LISTS:
                guarded = guarded or grammar.stops_open_relay(parsed)
        for name, words in self.classes.items():
            try:
                self._compile(grammar.parse_restrictions(words, self.classes))
            except grammar.RestrictionError as error:
                self.errors[name] = str(error)
        self.stops_open_relay = guarded

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        return self.parameters.restriction_classes

    def restrictions_of(self, parameter: str) -> tuple[CompiledRestriction, ...]:
        """Return a parameter's list. Raise Misconfigured if it has an error."""
        if parameter in self.errors:
            raise Misconfigured(f"{parameter}: {self.errors[parameter]}")
        return self._compiled[parameter]

    def compile(self, words: Sequence[str]) -> tuple[CompiledRestriction, ...]:
        """Return the restrictions that a table entry names. Raise Misconfigured."""
        key = tuple(words)
        if key not in self._table_entries:
            try:
                self._table_entries[key] = self._compile(grammar.parse_restrictions(key, self.classes))
            except grammar.RestrictionError as error:
                raise Misconfigured(str(error)) from error
        return self._table_entries[key]

    def _compile(self, restrictions: Sequence[grammar.Restriction]) -> tuple[CompiledRestriction, ...]:
        compiled = []
        for each in restrictions:
            self.needs_network = self.needs_network or each.name in _NETWORK_CHECKS
            self.needs_client_names = self.needs_client_names or each.name in _CLIENT_NAME_CHECKS
            check = _run_class if each.name in self.classes else _CHECKS[each.name]
            argument = each.name if each.name in self.classes else each.argument
            compiled.append(CompiledRestriction(each.name, argument, check))
        return tuple(compiled)


def _run_class(evaluation: Evaluation, name: str) -> Result:
    words = conf.current().restriction_classes.get(name, ())
    return evaluation.follow(name, evaluation.lists.compile(words))


_current: RestrictionLists | None = None


def current_lists() -> RestrictionLists:
    """Return the lists of the current parameters."""
    global _current
    parameters = conf.current()
    if _current is None or _current.parameters is not parameters:
        _current = RestrictionLists(parameters)
    return _current
