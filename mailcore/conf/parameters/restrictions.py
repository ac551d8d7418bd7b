"""Parameters: restrictions."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, integer, restrictions, seconds, template, text, words


@dataclass(frozen=True)
class Restrictions:
    title: ClassVar[Promise | str] = _("Restrictions")

    smtpd_helo_required: bool = boolean("no", _("Require HELO or EHLO before MAIL."))
    smtpd_delay_reject: bool = boolean(
        "yes", _("Evaluate restrictions on client, HELO name and sender only at RCPT TO.")
    )
    smtpd_client_restrictions: tuple[str, ...] = restrictions("", _("Restrictions on the client that connects."))
    smtpd_helo_restrictions: tuple[str, ...] = restrictions("", _("Restrictions on the HELO or EHLO name."))
    smtpd_sender_restrictions: tuple[str, ...] = restrictions(
        "reject_authenticated_sender_login_mismatch", _("Restrictions on the sender address.")
    )
    smtpd_relay_restrictions: tuple[str, ...] = restrictions(
        "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
        _("Restrictions on relaying, evaluated before smtpd_recipient_restrictions."),
    )
    smtpd_relay_before_recipient_restrictions: bool = boolean(
        "yes", _("Evaluate smtpd_relay_restrictions before smtpd_recipient_restrictions.")
    )
    smtpd_recipient_restrictions: tuple[str, ...] = restrictions(
        "", _("Restrictions on each recipient, in order; the first decision wins.")
    )
    smtpd_data_restrictions: tuple[str, ...] = restrictions("", _("Restrictions at DATA."))
    smtpd_end_of_data_restrictions: tuple[str, ...] = restrictions("", _("Restrictions on the complete message."))
    smtpd_etrn_restrictions: tuple[str, ...] = restrictions("", _("Restrictions at ETRN."))
    smtpd_restriction_classes: tuple[str, ...] = words(
        "", _("Names of restriction lists; each name is then a parameter itself.")
    )
    smtpd_reject_unlisted_recipient: bool = boolean(
        "yes", _("Reject unknown recipients, even without reject_unlisted_recipient in a list.")
    )
    smtpd_reject_unlisted_sender: bool = boolean(
        "no", _("Reject unknown senders in local domains, even without reject_unlisted_sender in a list.")
    )
    smtpd_null_access_lookup_key: str = text("<>", _("The lookup key for the null sender in access tables."))
    relay_clientcerts: tuple[str, ...] = words("", _("Tables of SHA-256 fingerprints of clients' certificates."))
    permit_mx_backup_networks: tuple[str, ...] = words(
        "", _("Networks of the first MX hosts of domains that permit_mx_backup accepts.")
    )
    smtpd_policy_service_timeout: int = seconds("100s", _("Time limit for a policy service to reply."))
    smtpd_policy_service_max_idle: int = seconds("300s", _("Time an idle connection to a policy service is kept open."))
    smtpd_policy_service_default_action: str = text(
        "451 4.3.5 Server configuration problem", _("The action if a policy service does not reply.")
    )
    rbl_reply_maps: tuple[str, ...] = words("", _("Tables of replies by DNS list (DNSBL)."))
    default_rbl_reply: str = template(
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        _("The reply for DNS lists without an entry in rbl_reply_maps."),
    )
    reject_code: int = integer("554", _("Reply code of the restriction reject."))
    defer_code: int = integer("450", _("Reply code of the restriction defer."))
    access_map_reject_code: int = integer("554", _("Reply code of REJECT in access tables."))
    access_map_defer_code: int = integer("450", _("Reply code of DEFER in access tables."))
    maps_rbl_reject_code: int = integer("554", _("Reply code of clients listed in a DNS list (DNSBL)."))
    relay_domains_reject_code: int = integer("554", _("Reply code of reject_unauth_destination."))
    plaintext_reject_code: int = integer("450", _("Reply code of reject_plaintext_session."))
    unknown_client_reject_code: int = integer("450", _("Reply code of reject_unknown_client_hostname."))
    unknown_hostname_reject_code: int = integer("450", _("Reply code of reject_unknown_helo_hostname."))
    unknown_address_reject_code: int = integer("450", _("Reply code of reject_unknown_sender_domain."))
    invalid_hostname_reject_code: int = integer("501", _("Reply code of reject_invalid_helo_hostname."))
    non_fqdn_reject_code: int = integer(
        "504", _("Reply code of reject_non_fqdn_sender, …_recipient and …_helo_hostname.")
    )
