"""Every mail parameter: Postfix's (or Dovecot's) name, its kind, its default in main.cf's words, its help.

A parameter is one line of the class below; the rest of the project reads it as an attribute of
`conf.current()`. To add one, add a line: `postconf`, the settings screen and the environment
(`MAIL_<NAME>`) know it at once.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.utils.translation import gettext_lazy as _

from mailcore.conf.value_types import (
    BOOLEAN,
    DAYS,
    HOURS,
    INTEGER,
    LIST,
    OCTETS,
    PERCENTAGES,
    RESTRICTIONS,
    SECONDS,
    TEMPLATE,
    TEXT,
    ValueType,
)


@dataclass(frozen=True, slots=True)
class Spec:
    name: str
    kind: ValueType
    default: str  # main.cf text, $name not expanded
    help: Any  # lazy translation
    secret: bool = False  # never shown, never logged


def _parameter(kind: ValueType, default: str, help_text: Any, *, secret: bool = False) -> Any:
    return field(metadata={"kind": kind, "default": default, "help": help_text, "secret": secret})


def text(default: str, help_text: Any, *, secret: bool = False) -> str:
    return _parameter(TEXT, default, help_text, secret=secret)  # type: ignore[no-any-return]


def template(default: str, help_text: Any) -> str:
    return _parameter(TEMPLATE, default, help_text)  # type: ignore[no-any-return]


def boolean(default: str, help_text: Any) -> bool:
    return _parameter(BOOLEAN, default, help_text)  # type: ignore[no-any-return]


def integer(default: str, help_text: Any) -> int:
    return _parameter(INTEGER, default, help_text)  # type: ignore[no-any-return]


def octets(default: str, help_text: Any) -> int:
    return _parameter(OCTETS, default, help_text)  # type: ignore[no-any-return]


def words(default: str, help_text: Any) -> tuple[str, ...]:
    return _parameter(LIST, default, help_text)  # type: ignore[no-any-return]


def restrictions(default: str, help_text: Any) -> tuple[str, ...]:
    return _parameter(RESTRICTIONS, default, help_text)  # type: ignore[no-any-return]


def percentages(default: str, help_text: Any) -> tuple[int, ...]:
    return _parameter(PERCENTAGES, default, help_text)  # type: ignore[no-any-return]


def seconds(default: str, help_text: Any) -> int:
    return _parameter(SECONDS, default, help_text)  # type: ignore[no-any-return]


def hours(default: str, help_text: Any) -> int:
    return _parameter(HOURS, default, help_text)  # type: ignore[no-any-return]


def days(default: str, help_text: Any) -> int:
    return _parameter(DAYS, default, help_text)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Parameters:
    """One consistent set of values. Times are seconds, sizes bytes; 0 as a limit means no limit."""

    # --- Names ---
    myhostname: str = text(socket.getfqdn(), _("The internet host name of this mail system."))
    mydomain: str = text("", _("The internet domain; empty: myhostname without its first part."))
    myorigin: str = text("$mydomain", _("The domain added to addresses that have none."))
    mydestination: tuple[str, ...] = words(
        "$myhostname, localhost.$mydomain, localhost, $mydomain",
        _("Domains delivered here besides those in the table of domains."),
    )
    inet_interfaces: tuple[str, ...] = words("", _('Addresses to listen on; empty: HOST; "all": every address.'))
    submission_interfaces: tuple[str, ...] = words("$inet_interfaces", _("The same for submission."))
    lmtp_interfaces: tuple[str, ...] = words(
        "loopback-only", _("The same for LMTP: only the mail system in front should reach it.")
    )
    imap_interfaces: tuple[str, ...] = words("$inet_interfaces", _("The same for IMAP."))
    pop3_interfaces: tuple[str, ...] = words("$inet_interfaces", _("The same for POP3."))
    managesieve_interfaces: tuple[str, ...] = words("$inet_interfaces", _("The same for ManageSieve."))
    web_interfaces: tuple[str, ...] = words("$inet_interfaces", _("The same for the web."))
    mail_name: str = text("Youju", _("The name of the mail system in banners and Received headers."))
    home_mailbox: str = text("Maildir/", _("Where mail lies below an account's directory; always a Maildir."))
    recipient_delimiter: str = text("+", _("What parts user and extension in user+extension@domain."))
    mynetworks: tuple[str, ...] = words("127.0.0.0/8, [::1]/128", _("Clients that may relay."))

    # --- Aliases and routing ---
    alias_database: tuple[str, ...] = words("hash:/etc/aliases", _("The files newaliases reads."))
    allow_mail_to_commands: tuple[str, ...] = words("", _('"alias": aliases from files may deliver to |commands.'))
    allow_mail_to_files: tuple[str, ...] = words(
        "", _('"alias": aliases from files may deliver to /files and /directories/.')
    )
    mailbox_delivery_lock: tuple[str, ...] = words("fcntl, dotlock", _("How a /file is locked while mail is added."))
    deliver_lock_attempts: int = integer("20", _("How often a lock is tried to get."))
    deliver_lock_delay: int = seconds("1s", _("Time between two such tries."))
    stale_lock_time: int = seconds("500s", _("After this a lock file is nobody's any more."))
    command_time_limit: int = seconds("1000s", _("How long a command may take with a message."))
    relay_domains: tuple[str, ...] = words("", _("Domains relayed to, besides those in the table of domains."))
    relay_recipient_maps: tuple[str, ...] = words("", _("Tables of the recipients in relay domains; empty: any."))
    relayhost: str = text("", _("The next hop of all mail that is not for here: domain, or [host]:port."))
    transport_maps: tuple[str, ...] = words("hash:transport", _("Tables of next hops by address or domain."))
    sender_dependent_relayhost_maps: tuple[str, ...] = words(
        "hash:sender_relay", _("Tables of relay hosts by the sender's address or @domain.")
    )
    smtp_sasl_security_options: tuple[str, ...] = words(
        "noplaintext, noanonymous", _("noplaintext: no password is sent to another host without TLS.")
    )
    smtp_sasl_password_maps: tuple[str, ...] = words(
        "hash:sasl_passwd", _("Tables of user:password by next hop, or by sender's address.")
    )

    # --- Processes ---
    mail_owner: str = text("youju", _("The user the system becomes after it was started as root."))
    server_processes: int = integer("0", _("Server processes; 0: one a core."))
    server_threads: int = integer("16", _("Threads, and so database connections, of one server process."))
    courier_processes: int = integer("1", _("Couriers run by runmailserver where there is no REDIS_URL."))
    web_processes: int = integer("0", _("Web server processes; 0: one a core."))
    second_factor_roles: tuple[str, ...] = words(
        "", _("Roles (owner, domain, auditor, administrator) that must set up a second factor before anything else.")
    )
    web_body_limit: int = octets(
        "2621440", _("Largest body of a web request that brings no file, of somebody who is signed in.")
    )
    web_request_time_limit: int = seconds("30s", _("Time for the header of a web request, and again for its body."))
    web_min_data_rate: int = integer("2000", _("Bytes a second of a web request's body that prolong its time."))
    webmail_import_size_limit: int = octets(
        "104857600", _("Largest file of messages that the webmail imports; 0: no limit.")
    )
    import_size_limit: int = octets("2097152", _("Largest file that the administrator's screens import."))
    step_up_time: int = seconds("15m", _("How long after signing in security settings are open without asking again."))
    web_threads: int = integer("8", _("Requests one web process serves at once."))

    # --- What the webmail fetches from other hosts: pictures in messages, one-click unsubscribing ---
    webmail_fetch_networks: tuple[str, ...] = words("", _("Networks that may be asked although they are not public."))
    webmail_fetch_ports: tuple[str, ...] = words("80, 443", _("The only ports that are asked."))
    webmail_fetch_size_limit: int = octets("5000000", _("The largest picture."))
    webmail_fetch_time_limit: int = seconds("8s", _("How long one answer may take in all."))

    # --- The webmail ---
    webmail_fetch_mail_ports: tuple[str, ...] = words(
        "995, 110", _("Ports on which mail is fetched from other POP3 servers; empty: nobody may.")
    )
    webmail_fetch_mail_time_limit: int = seconds("60s", _("How long fetching mail from another server may take."))
    webmail_fetch_mail_limit: int = integer("200", _("Messages fetched from another server at once."))
    webmail_message_of_the_day: str = text("", _("Shown above everybody's inbox until it was read; empty: nothing."))
    webmail_shared_address_book: bool = boolean(
        "no", _("Whether the address book shows who else has an account in one's own domain.")
    )

    # --- Sizes ---
    message_size_limit: int = octets("10240000", _("Largest message, headers included; 0: no limit."))
    mailbox_size_limit: int = octets("51200000", _("Default quota of accounts in mydestination; 0: no limit."))
    virtual_mailbox_limit: int = octets("51200000", _("Default quota of accounts; 0: no limit."))
    virtual_overquota_bounce: bool = boolean("no", _("Return mail for a full mailbox at once instead of waiting."))
    quota_warning_levels: tuple[int, ...] = percentages(
        "80, 95", _("Percent of a quota at which its owner gets a warning; empty: no warnings.")
    )
    header_size_limit: int = octets("102400", _("Largest header; what is beyond is not looked at."))
    line_length_limit: int = octets("2048", _("Longest command line."))
    bounce_size_limit: int = octets("50000", _("Largest original returned whole in a bounce."))

    # --- SMTP server ---
    smtpd_banner: str = text("$myhostname ESMTP $mail_name", _("What follows 220 in the greeting."))
    smtpd_timeout: int = seconds("300s", _("Time for a command to arrive."))
    smtpd_recipient_limit: int = integer("1000", _("Recipients of one message."))
    smtpd_soft_error_limit: int = integer("10", _("Errors after which answers are delayed."))
    smtpd_hard_error_limit: int = integer("20", _("Errors after which the client is disconnected."))
    smtpd_error_sleep_time: int = seconds("1s", _("The delay of answers past smtpd_soft_error_limit."))
    smtpd_recipient_overshoot_limit: int = integer("1000", _("Refused recipients past it that are no errors yet."))
    smtpd_junk_command_limit: int = integer("100", _("NOOP, VRFY, ETRN, RSET and their like without a message."))
    smtpd_noop_commands: tuple[str, ...] = words("", _("Commands answered with Ok that do nothing."))
    smtpd_forbidden_commands: tuple[str, ...] = words("CONNECT GET POST", _("Commands that end the session."))
    smtpd_forbid_unauth_pipelining: bool = boolean("yes", _("Clients that do not wait for answers are sent away."))
    smtpd_greet_wait: int = seconds("0s", _("How long the greeting waits for clients that talk too early."))
    smtpd_per_request_deadline: bool = boolean("yes", _("smtpd_timeout is for a whole command or message."))
    smtpd_min_data_rate: int = integer("500", _("Octets a second of content that prolong this deadline."))
    smtpd_upstream_proxy_protocol: str = text("", _('"haproxy": proxies say who their clients are (PROXY).'))
    smtpd_upstream_proxy_networks: tuple[str, ...] = words("", _("The proxies that are believed."))
    smtpd_upstream_proxy_timeout: int = seconds("5s", _("Time for a proxy to say it."))
    anvil_rate_time_unit: int = seconds("60s", _("The time the rate limits of clients are about."))
    smtpd_client_connection_count_limit: int = integer("50", _("Connections at once from one client."))
    smtpd_client_connection_rate_limit: int = integer("0", _("Connections from one client in that time; 0: any."))
    smtpd_client_message_rate_limit: int = integer("0", _("Messages from one client in that time; 0: any."))
    smtpd_client_recipient_rate_limit: int = integer("0", _("Recipients from one client in that time; 0: any."))
    smtpd_client_new_tls_session_rate_limit: int = integer("0", _("TLS handshakes of one client in that time."))
    smtpd_client_auth_rate_limit: int = integer("0", _("AUTH commands of one client in that time; 0: any."))
    smtpd_client_event_limit_exceptions: tuple[str, ...] = words("$mynetworks", _("Clients without such limits."))
    smtpd_helo_required: bool = boolean("no", _("HELO or EHLO must come before MAIL."))
    disable_vrfy_command: bool = boolean("no", _("VRFY is not answered."))
    smtpd_delay_reject: bool = boolean("yes", _("Clients, HELO names and senders are judged at RCPT TO."))
    smtpd_client_restrictions: tuple[str, ...] = restrictions("", _("What is asked about each client."))
    smtpd_helo_restrictions: tuple[str, ...] = restrictions("", _("What is asked about each HELO name."))
    smtpd_sender_restrictions: tuple[str, ...] = restrictions(
        "reject_authenticated_sender_login_mismatch", _("What is asked about each sender.")
    )
    smtpd_relay_restrictions: tuple[str, ...] = restrictions(
        "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
        _("Who may relay, asked before smtpd_recipient_restrictions."),
    )
    smtpd_relay_before_recipient_restrictions: bool = boolean(
        "yes", _("smtpd_relay_restrictions come before smtpd_recipient_restrictions.")
    )
    smtpd_recipient_restrictions: tuple[str, ...] = restrictions(
        "", _("What is asked about each recipient, in order; the first decision wins.")
    )
    smtpd_data_restrictions: tuple[str, ...] = restrictions("", _("What is asked at DATA."))
    smtpd_end_of_data_restrictions: tuple[str, ...] = restrictions("", _("What is asked about each whole message."))
    fast_flush_domains: tuple[str, ...] = words(
        "$relay_domains", _("Domains ETRN may ask for, besides those in the table of relay domains.")
    )
    smtpd_etrn_restrictions: tuple[str, ...] = restrictions("", _("What is asked at ETRN."))
    local_header_rewrite_clients: tuple[str, ...] = restrictions(
        "permit_sasl_authenticated", _("Clients whose messages get the From, Date and Message-ID they lack.")
    )
    smtpd_future_release_limit: int = seconds("30d", _("How long a submitted message may be kept back; 0: not at all."))
    smtpd_sasl_message_hourly_limit: int = integer("0", _("Messages one account may send in an hour; 0: any."))
    smtpd_sasl_message_daily_limit: int = integer("0", _("Messages one account may send in a day; 0: any."))
    smtpd_sasl_recipient_hourly_limit: int = integer("0", _("Recipients of one account in an hour; 0: any."))
    smtpd_sasl_recipient_daily_limit: int = integer("0", _("Recipients of one account in a day; 0: any."))
    smtpd_restriction_classes: tuple[str, ...] = words(
        "", _("Names of lists of restrictions; each is then a parameter of that name.")
    )
    smtpd_reject_unlisted_recipient: bool = boolean("yes", _("Unknown recipients are refused, whatever the lists say."))
    smtpd_reject_unlisted_sender: bool = boolean("no", _("Senders with our domain whom we do not know are refused."))
    smtpd_sender_login_maps: tuple[str, ...] = words(
        "hash:sender_login", _("Tables of who may send as an address; without an entry: the account it leads to alone.")
    )
    smtpd_null_access_lookup_key: str = text("<>", _("The key for the null sender in access tables."))
    smtpd_peername_lookup: bool = boolean("yes", _("Clients' names are looked up, for logs and Received headers."))
    relay_clientcerts: tuple[str, ...] = words("", _("Tables of SHA-256 fingerprints of clients' certificates."))
    permit_mx_backup_networks: tuple[str, ...] = words("", _("Where the first MX host of such a domain must be."))
    smtpd_policy_service_timeout: int = seconds("100s", _("Time for a policy service to answer."))
    smtpd_policy_service_max_idle: int = seconds("300s", _("How long a connection to it is kept."))
    smtpd_policy_service_default_action: str = text(
        "451 4.3.5 Server configuration problem", _("What is done when it does not answer.")
    )
    rbl_reply_maps: tuple[str, ...] = words("", _("Tables of replies by DNS list."))
    default_rbl_reply: str = template(
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        _("The reply where they have none."),
    )
    reject_code: int = integer("554", _("Reply code of reject."))
    defer_code: int = integer("450", _("Reply code of defer."))
    access_map_reject_code: int = integer("554", _("Reply code of REJECT in access tables."))
    access_map_defer_code: int = integer("450", _("Reply code of DEFER in access tables."))
    maps_rbl_reject_code: int = integer("554", _("Reply code of DNS lists."))
    relay_domains_reject_code: int = integer("554", _("Reply code of reject_unauth_destination."))
    plaintext_reject_code: int = integer("450", _("Reply code of reject_plaintext_session."))
    unknown_client_reject_code: int = integer("450", _("Reply code of reject_unknown_client_hostname."))
    unknown_hostname_reject_code: int = integer("450", _("Reply code of reject_unknown_helo_hostname."))
    unknown_address_reject_code: int = integer("450", _("Reply code of reject_unknown_sender_domain."))
    invalid_hostname_reject_code: int = integer("501", _("Reply code of reject_invalid_helo_hostname."))
    non_fqdn_reject_code: int = integer("504", _("Reply code of reject_non_fqdn_sender and its kin."))
    smtpd_sasl_auth_enable: bool = boolean("yes", _("Offer AUTH."))
    smtpd_sasl_security_options: tuple[str, ...] = words("noanonymous", _("What AUTH must not allow."))
    smtpd_sasl_tls_security_options: tuple[str, ...] = words(
        "$smtpd_sasl_security_options", _("What AUTH must not allow under TLS.")
    )
    smtpd_tls_cert_file: str = text("", _("Certificate chain (PEM); empty: one signed by ourselves."))
    smtpd_tls_key_file: str = text("$smtpd_tls_cert_file", _("Its private key (PEM)."))
    tls_server_sni_maps: tuple[str, ...] = words(
        "hash:sni", _("Tables of certificate files by the host name a client asks for (SNI).")
    )
    smtpd_tls_ask_ccert: bool = boolean("no", _("Ask SMTP clients for a certificate (see relay_clientcerts)."))
    smtpd_tls_CAfile: str = text(  # noqa: N815  (as Postfix spells it)
        "", _("Authorities (PEM) whose clients' certificates are believed.")
    )
    smtpd_tls_protocols: str = text(">=TLSv1.2", _("The oldest TLS version offered, by all servers."))
    smtpd_tls_security_level: str = text(
        "may", _("none: no STARTTLS; may: clients choose; encrypt: nothing without TLS, on every port but LMTP's.")
    )
    smtpd_tls_auth_only: bool = boolean("no", _("Offer AUTH only under TLS."))
    smtpd_forbid_bare_newline: bool = boolean("yes", _("Refuse bare CR and bare LF in content."))
    hopcount_limit: int = integer("50", _("Received headers after which a message is in a loop."))
    traffic_history_time: int = days("400d", _("How long it is remembered how many messages an hour had."))
    direct_delivery: bool = boolean(
        "yes", _("A message for one mailbox here is delivered by the server that takes it in, without a courier.")
    )
    watchdog_timeout: int = seconds(
        "10s",
        _(
            "How long the event loop of a server or web process may stand still before the process is replaced;"
            " 0: for ever."
        ),
    )
    listen_backlog: int = integer("511", _("Connections waiting to be taken at a listening socket."))
    queue_minfree: int = octets("0", _("Free octets the queue's file system must keep; 0: 1.5 × message_size_limit."))

    # --- Queue ---
    minimal_backoff_time: int = seconds("300s", _("Shortest time between two attempts."))
    maximal_backoff_time: int = seconds("4000s", _("Longest time between two attempts."))
    queue_run_delay: int = seconds("300s", _("Time between two scans of the queue."))
    maximal_queue_lifetime: int = days("5d", _("After this a message that cannot be delivered is returned."))
    bounce_queue_lifetime: int = days("5d", _("The same for bounces, which are then dropped."))
    delay_warning_time: int = hours("0h", _("After this the sender is told that the message waits; 0: never."))
    qmgr_message_active_limit: int = integer("20000", _("Messages being delivered at once."))
    default_process_limit: int = integer("500", _("Connections to other hosts at once, of one courier."))
    initial_destination_concurrency: int = integer("5", _("Connections at once to a destination at first."))
    default_destination_concurrency_limit: int = integer("20", _("Connections at once to one destination."))
    default_destination_concurrency_failed_cohort_limit: int = integer(
        "1", _("Rounds of failed connections after which a destination is left alone for minimal_backoff_time.")
    )
    default_destination_recipient_limit: int = integer("50", _("Recipients of one delivery to another host."))
    default_destination_rate_delay: int = seconds("0s", _("Pause between two deliveries to one destination."))
    defer_transports: tuple[str, ...] = words(
        "", _("Transports (smtp) whose mail waits until somebody tries the queue by hand.")
    )
    notify_classes: tuple[str, ...] = words(
        "resource, software", _("What postmaster is told of: bounce, 2bounce (bounces that fail), delay.")
    )
    bounce_notice_recipient: str = text("postmaster", _("Who gets what notify_classes names."))
    double_bounce_sender: str = text("double-bounce", _("The sender of notices to postmaster; what fails ends there."))
    virtual_alias_expansion_limit: int = integer("1000", _("Addresses one alias may expand to."))
    virtual_alias_recursion_limit: int = integer("1000", _("How deep aliases may nest."))
    queue_history_time: int = days("7d", _("How long settled messages stay findable."))
    events_retention: int = days(
        "7d", _("How long it is known that messages were moved and deleted; 0: it is not noted.")
    )
    courier_batch: int = integer("100", _("Messages a courier claims at once."))
    courier_lease_time: int = seconds("600s", _("After this a lost courier's messages are taken by another."))

    # --- Filters (Sieve) ---
    sieve_max_script_size: int = octets("1048576", _("Largest Sieve script; 0: no limit."))
    sieve_quota_max_scripts: int = integer("16", _("Sieve scripts of an account; 0: no limit."))
    sieve_max_actions: int = integer("32", _("Things a Sieve script may do with one message."))
    sieve_max_redirects: int = integer("4", _("Addresses a Sieve script may pass one message on to."))
    sieve_max_cpu_time: int = seconds("5s", _("How long a Sieve script may work on one message."))
    sieve_vacation_default_period: int = days(
        "7d", _("How long nobody gets a second automatic answer, where the script does not say.")
    )
    sieve_vacation_min_period: int = days("1d", _("The shortest such time a script may ask for."))
    sieve_vacation_max_period: int = days("60d", _("The longest; 0: no limit."))
    sieve_duplicate_default_period: int = days(
        "14d", _("How long a Sieve script remembers what it saw, where it does not say.")
    )
    sieve_duplicate_max_period: int = days("30d", _("The longest such time; 0: no limit."))

    # --- Remote delivery ---
    smtp_connect_timeout: int = seconds("30s", _("Time for another host to take our connection."))
    smtp_timeout: int = seconds("300s", _("Time for another host to answer a command."))
    smtp_data_done_timeout: int = seconds("600s", _("Time for another host to answer the end of a message."))
    smtp_helo_name: str = text("$myhostname", _("The name we greet other hosts with."))
    smtp_skip_5xx_greeting: bool = boolean("yes", _("A host that greets with 5xx is passed over, mail waits."))
    smtp_mx_address_limit: int = integer("5", _("Addresses of a destination that are tried; 0: no limit."))
    smtp_mx_session_limit: int = integer("2", _("Hosts of a destination that are spoken to in one attempt."))
    smtp_connection_cache_time_limit: int = seconds(
        "2s", _("How long an idle connection is kept for the next message.")
    )
    smtp_connection_reuse_count_limit: int = integer("0", _("Messages sent over one connection; 0: no limit."))
    smtp_connection_reuse_time_limit: int = seconds("300s", _("How long a connection is used again."))
    smtp_tls_security_level: str = text(
        "may", _("TLS with other hosts: none, may, encrypt, verify (their name), secure (the destination's).")
    )
    smtp_tls_policy_maps: tuple[str, ...] = words(
        "hash:tls_policy", _("Tables of TLS levels by destination: level, perhaps with match=name:….")
    )
    smtp_tls_CAfile: str = text("", _("Certificates (PEM) we trust other hosts by; empty: the system's."))  # noqa: N815
    smtp_tls_verify_cert_match: tuple[str, ...] = words(
        "hostname", _("The names a certificate may have at level verify: hostname, nexthop, dot-nexthop.")
    )
    smtp_tls_secure_cert_match: tuple[str, ...] = words("nexthop, dot-nexthop", _("The same at level secure."))
    smtp_tls_wrappermode: bool = boolean("no", _("TLS from the first octet on, as port 465 has it."))
    disable_mime_output_conversion: bool = boolean(
        "no", _("Never re-encode 8-bit mail for hosts that take 7 bit only.")
    )
    proxy_interfaces: tuple[str, ...] = words(
        "", _("Addresses under which others reach this system by a proxy or NAT.")
    )
    dns_servers: tuple[str, ...] = words("", _("Name servers, host:port; empty: the system's."))
    dns_timeout: int = seconds("10s", _("Time for a name server to answer."))

    # --- Log ---
    maillog_file: str = text("", _('Where the mail log goes: a file, /dev/stdout, "syslog"; empty: log/maillog.'))
    syslog_name: str = text("youju", _("The name before the program's in log lines."))

    # --- Mail access ---
    protocols: tuple[str, ...] = words("imap, pop3, lmtp, sieve", _("Mail access protocols served."))
    disable_plaintext_auth: bool = boolean("no", _("Passwords in the clear only under TLS or from this machine."))
    ssl_disable: bool = boolean("no", _("Offer no TLS at all."))
    haproxy_trusted_networks: tuple[str, ...] = words(
        "", _("Proxies that say who their clients are (PROXY), before IMAP or POP3 and its TLS.")
    )
    haproxy_timeout: int = seconds("3s", _("Time for such a proxy to say it."))
    mail_max_userip_connections: int = integer("50", _("IMAP or POP3 connections of one user from one address."))
    autoconfig_hostname: str = text("$myhostname", _("The host name that mail programs are given."))
    auth_failure_delay: int = seconds("2s", _("How long a failed sign-in waits for its answer."))
    auth_failure_limit: int = integer(
        "5", _("Failed sign-ins of an address or account before the next one has to wait, twice as long each time.")
    )
    auth_failure_delay_max: int = seconds("30s", _("The longest such wait."))
    auth_failure_time: int = seconds("15m", _("How long failed sign-ins count."))
    second_factor_attempts: int = integer(
        "5", _("Codes of the second factor that may be tried before the password is asked for again; 0: any number.")
    )
    auth_known_address_time: int = days("90d", _("How long an address is known from which an account signed in."))
    oauth_timeout: int = seconds("10s", _("Time for the server that issues OAuth tokens to answer."))
    auth_scram_iterations: int = integer(
        "50000", _("Iterations of SCRAM-SHA-256 keys of new passwords; 0: SCRAM is not offered.")
    )
    auth_cache_ttl: int = seconds("600s", _("How long a checked password is remembered (as a keyed hash)."))
    directory_cache_time: int = seconds("5s", _("How long a process may remember who has mail here."))
    imap_idle_timeout: int = seconds("30m", _("An IMAP connection without commands ends after this."))
    pop3_idle_timeout: int = seconds("10m", _("A POP3 connection without commands ends after this."))
    managesieve_idle_timeout: int = seconds("30m", _("A ManageSieve connection without commands ends after this."))
    login_timeout: int = seconds(
        "3m", _("Time to sign in to IMAP, POP3, ManageSieve or submission, from the start of the connection.")
    )
    unauthenticated_connection_limit: int = integer(
        "50", _("Connections of one address before sign-in (IMAP, POP3, ManageSieve, submission); 0: any number.")
    )
    mail_max_bad_commands: int = integer("20", _("Wrong commands, or failed sign-ins, that end a POP3 connection."))
    imap_idle_notify_interval: int = seconds("2m", _("How often an IDLE client gets a sign of life; 0: never."))
    imap_progress_interval: int = seconds("15s", _("How often a client hears that its long command goes on; 0: never."))
    imap_metadata_max_size: int = octets("65536", _("Largest value of an IMAP METADATA entry."))
    imap_metadata_max_entries: int = integer("1000", _("IMAP METADATA entries of an account at most."))
    text_index_messages: int = integer(
        "5000", _("Mailboxes of so many messages get an index of their texts when they are searched; 0: none does.")
    )
    imap_max_line_length: int = octets("65536", _("Longest IMAP command line without literals."))
    imap_max_command_size: int = octets(
        "1048576", _("Longest IMAP command with its literals; messages that APPEND uploads do not count.")
    )
    imap_max_literals: int = integer("2000", _("Literals in one IMAP command at most, uploaded messages apart."))
    imap_login_max_command_size: int = octets("65536", _("Longest IMAP command before a client has signed in."))
    imap_login_max_literals: int = integer("10", _("Literals in one IMAP command before a client has signed in."))

    # Not a parameter of its own: the lists that smtpd_restriction_classes names.
    restriction_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SPECS: dict[str, Spec] = {
    f.name: Spec(f.name, f.metadata["kind"], f.metadata["default"], f.metadata["help"], f.metadata["secret"])
    for f in fields(Parameters)
    if f.metadata
}
