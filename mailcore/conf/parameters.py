"""Every mail parameter: its name (Postfix's or Dovecot's), type, default in main.cf's notation, and help text.

The rest of the project reads a parameter as an attribute of `conf.current()`. To add one, add a line here, or in
`access_parameters` for IMAP, POP3, ManageSieve and log-in: `postconf`, the settings screen, the environment
(`MAIL_<NAME>`) and docs/parameters.md take it from here.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from django.utils.translation import gettext_lazy as _

from mailcore.conf.access_parameters import AccessParameters
from mailcore.conf.declaration import (
    Spec,
    boolean,
    byte_size,
    days,
    hours,
    integer,
    percentages,
    restrictions,
    seconds,
    template,
    text,
    words,
)


@dataclass(frozen=True, slots=True)
class Parameters(AccessParameters):
    """One consistent set of values. Times are seconds, sizes bytes; 0 as a limit means no limit."""

    # --- Names ---
    myhostname: str = text(socket.getfqdn(), _("The internet host name of this mail system."))
    mydomain: str = text("", _("The internet domain; empty: myhostname without its first label."))
    myorigin: str = text("$mydomain", _("The domain appended to addresses without one."))
    mydestination: tuple[str, ...] = words(
        "$myhostname, localhost.$mydomain, localhost, $mydomain",
        _("Domains delivered to mailboxes here, besides those in the table of domains."),
    )
    inet_interfaces: tuple[str, ...] = words(
        "", _('Addresses the servers listen on; empty: those of HOST; "all": every address.')
    )
    submission_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the submission server listens on."))
    lmtp_interfaces: tuple[str, ...] = words(
        "loopback-only", _("Addresses the LMTP server listens on; only the mail system in front should reach it.")
    )
    imap_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the IMAP server listens on."))
    pop3_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the POP3 server listens on."))
    managesieve_interfaces: tuple[str, ...] = words(
        "$inet_interfaces", _("Addresses the ManageSieve server listens on.")
    )
    web_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the web server listens on."))
    mail_name: str = text("Youju", _("The name of the mail system in banners and Received headers."))
    home_mailbox: str = text("Maildir/", _("The mailbox below an account's directory; always a Maildir."))
    recipient_delimiter: str = text("+", _("The character between user and extension in user+extension@domain."))
    mynetworks: tuple[str, ...] = words("127.0.0.0/8, [::1]/128", _("Networks whose clients may relay mail."))

    # --- Aliases and routing ---
    alias_database: tuple[str, ...] = words("hash:/etc/aliases", _("The alias files that newaliases reads."))
    allow_mail_to_commands: tuple[str, ...] = words("", _('"alias": aliases from files may deliver to |commands.'))
    allow_mail_to_files: tuple[str, ...] = words(
        "", _('"alias": aliases from files may deliver to /files and /directories/.')
    )
    mailbox_delivery_lock: tuple[str, ...] = words(
        "fcntl, dotlock", _("How a file that an alias delivers to is locked while a message is appended.")
    )
    deliver_lock_attempts: int = integer("20", _("Attempts to lock a file that an alias delivers to."))
    deliver_lock_delay: int = seconds("1s", _("Time between two attempts to lock a file that an alias delivers to."))
    stale_lock_time: int = seconds("500s", _("The age at which a lock file is considered stale and removed."))
    command_time_limit: int = seconds("1000s", _("Time limit of a command that an alias delivers a message to."))
    export_environment: tuple[str, ...] = words(
        "TZ MAIL_CONFIG LANG", _("Environment variables that a command keeps, name, or gets, name=value.")
    )
    command_expansion_filter: str = text(
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        _("Characters of addresses in a command's environment; others become underscores."),
    )
    relay_domains: tuple[str, ...] = words("", _("Domains to relay mail for, besides those in the table of domains."))
    relay_recipient_maps: tuple[str, ...] = words(
        "", _("Tables of the valid recipients in relay domains; empty: all are valid.")
    )
    relayhost: str = text("", _("The next hop of all mail for other domains: domain, or [host]:port."))
    transport_maps: tuple[str, ...] = words("hash:transport", _("Tables of next hops by address or domain."))
    sender_dependent_relayhost_maps: tuple[str, ...] = words(
        "hash:sender_relay", _("Tables of relay hosts by the sender's address or @domain.")
    )
    smtp_sasl_security_options: tuple[str, ...] = words(
        "noplaintext, noanonymous",
        _("Log-in mechanisms the SMTP client does not use; noplaintext: no password is sent without TLS."),
    )
    smtp_sasl_password_maps: tuple[str, ...] = words(
        "hash:sasl_passwd", _("Tables of user:password for log-in to other hosts, by next hop or sender address.")
    )

    # --- Processes ---
    mail_owner: str = text("youju", _("The user the system runs as after it was started as root."))
    server_processes: int = integer("0", _("Number of mail server processes; 0: one for each CPU core."))
    server_threads: int = integer("16", _("Threads, and thus database connections, of one mail server process."))
    courier_processes: int = integer(
        "1", _("Courier processes (delivery workers) run by runmailserver without REDIS_URL.")
    )
    web_processes: int = integer("0", _("Number of web server processes; 0: one for each CPU core."))
    second_factor_roles: tuple[str, ...] = words(
        "", _("Roles (owner, domain, auditor, administrator) that must set up a second factor before anything else.")
    )
    web_body_limit: int = byte_size(
        "2621440", _("Largest body of a web request without files, from a user who is logged in.")
    )
    web_connection_limit: int = integer(
        "200", _("Web connections of one IP address, except behind a proxy (BEHIND_PROXY); 0: no limit.")
    )
    web_request_time_limit: int = seconds("30s", _("Time limit of a web request's header, and again of its body."))
    web_min_data_rate: int = integer("2000", _("Bytes a second of a web request's body that extend its time limit."))
    webmail_import_size_limit: int = byte_size(
        "104857600", _("Largest file of messages that the webmail imports; 0: no limit.")
    )
    import_size_limit: int = byte_size("2097152", _("Largest file that the administration screens import."))
    step_up_time: int = seconds(
        "15m", _("Time after log-in during which security settings open without another password check.")
    )
    web_threads: int = integer("8", _("Requests that one web process serves at once."))

    # --- Webmail; webmail_fetch_… are for pictures in messages and one-click unsubscribing ---
    webmail_fetch_networks: tuple[str, ...] = words(
        "", _("Networks the webmail may fetch pictures from although they are not public.")
    )
    webmail_fetch_blocked_networks: tuple[str, ...] = words(
        "168.63.129.16/32",
        _("Public networks the webmail fetches nothing from; default: the service address of Azure's machines."),
    )
    webmail_fetch_ports: tuple[str, ...] = words(
        "80, 443", _("Ports from which the webmail fetches pictures and unsubscribes.")
    )
    webmail_fetch_size_limit: int = byte_size(
        "5000000", _("Largest picture that the webmail fetches from another host.")
    )
    webmail_fetch_time_limit: int = seconds("8s", _("Time limit for fetching a picture or unsubscribing from a list."))
    webmail_fetch_mail_ports: tuple[str, ...] = words(
        "995, 110", _("Ports on which the webmail fetches mail from other POP3 servers; empty: none is fetched.")
    )
    webmail_fetch_mail_time_limit: int = seconds("60s", _("Time limit for fetching mail from another POP3 server."))
    webmail_fetch_mail_limit: int = integer("200", _("Messages fetched from another POP3 server at once."))
    webmail_fetch_mail_size_limit: int = byte_size(
        "$message_size_limit", _("Largest message fetched from another POP3 server; 0: no limit.")
    )
    webmail_fetch_mail_list_limit: int = integer(
        "100000", _("Messages that another POP3 server may list; 0: no limit.")
    )
    webmail_message_of_the_day: str = text("", _("A notice shown above every inbox until it was read; empty: none."))
    webmail_shared_address_book: bool = boolean(
        "no", _("Show the other accounts of one's own domain in the address book.")
    )

    # --- Sizes ---
    message_size_limit: int = byte_size("10240000", _("Largest message in bytes, header included; 0: no limit."))
    mailbox_size_limit: int = byte_size("51200000", _("Default quota of accounts in mydestination; 0: no limit."))
    virtual_mailbox_limit: int = byte_size("51200000", _("Default quota of accounts; 0: no limit."))
    virtual_overquota_bounce: bool = boolean("no", _("Return mail for a full mailbox at once instead of retrying."))
    quota_warning_levels: tuple[int, ...] = percentages(
        "80, 95", _("Percent of a quota at which its owner gets a warning; empty: no warnings.")
    )
    header_size_limit: int = byte_size("102400", _("Largest message header; the rest is not examined."))
    line_length_limit: int = byte_size("2048", _("Longest SMTP command line."))
    bounce_size_limit: int = byte_size("50000", _("Largest message that a bounce returns in full."))

    # --- SMTP server ---
    smtpd_banner: str = text("$myhostname ESMTP $mail_name", _("The text after 220 in the SMTP greeting."))
    smtpd_timeout: int = seconds("300s", _("Time limit for an SMTP client to send a command."))
    smtpd_recipient_limit: int = integer("1000", _("Largest number of recipients of one message."))
    smtpd_soft_error_limit: int = integer(
        "10", _("Number of errors of an SMTP client after which replies are delayed.")
    )
    smtpd_hard_error_limit: int = integer("20", _("Number of errors after which an SMTP client is disconnected."))
    smtpd_error_sleep_time: int = seconds("1s", _("The delay of replies past smtpd_soft_error_limit."))
    smtpd_recipient_overshoot_limit: int = integer(
        "1000", _("Refused recipients beyond smtpd_recipient_limit that do not count as errors yet.")
    )
    smtpd_junk_command_limit: int = integer(
        "100", _("Commands such as NOOP, VRFY, ETRN and RSET that a client may send before they count as errors.")
    )
    smtpd_noop_commands: tuple[str, ...] = words("", _("SMTP commands that get the reply Ok and do nothing."))
    smtpd_forbidden_commands: tuple[str, ...] = words("CONNECT GET POST", _("SMTP commands that end the session."))
    smtpd_forbid_unauth_pipelining: bool = boolean(
        "yes", _("Disconnect SMTP clients that send commands without waiting for replies.")
    )
    smtpd_greet_wait: int = seconds("0s", _("Delay of the greeting, to detect clients that send before it."))
    smtpd_per_request_deadline: bool = boolean(
        "yes", _("Apply smtpd_timeout to a whole command or message instead of each read.")
    )
    smtpd_min_data_rate: int = integer(
        "500", _("Bytes a second of message content that extend the deadline of smtpd_per_request_deadline.")
    )
    smtpd_upstream_proxy_protocol: str = text(
        "", _('"haproxy": the SMTP server reads client addresses from a PROXY header.')
    )
    smtpd_upstream_proxy_networks: tuple[str, ...] = words(
        "", _("Networks of proxies whose PROXY headers the SMTP server accepts.")
    )
    smtpd_upstream_proxy_timeout: int = seconds(
        "5s", _("Time limit for a proxy to send its PROXY header to the SMTP server.")
    )
    anvil_rate_time_unit: int = seconds(
        "60s", _("The period that the smtpd_client_…_rate_limit parameters count events in.")
    )
    smtpd_client_connection_count_limit: int = integer("50", _("Simultaneous SMTP connections of one client."))
    smtpd_connection_total_limit: int = integer(
        "1000", _("Simultaneous connections of all SMTP clients, and of all LMTP clients; 0: no limit.")
    )
    smtpd_client_connection_rate_limit: int = integer(
        "0", _("Connections of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_message_rate_limit: int = integer(
        "0", _("Messages of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_recipient_rate_limit: int = integer(
        "0", _("Recipients of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_new_tls_session_rate_limit: int = integer(
        "0", _("TLS handshakes of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_auth_rate_limit: int = integer(
        "0", _("AUTH commands of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_event_limit_exceptions: tuple[str, ...] = words(
        "$mynetworks", _("Networks whose clients are exempt from connection and rate limits.")
    )
    smtpd_helo_required: bool = boolean("no", _("Require HELO or EHLO before MAIL."))
    disable_vrfy_command: bool = boolean("no", _("Disable the VRFY command."))
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
    fast_flush_domains: tuple[str, ...] = words(
        "$relay_domains", _("Domains that ETRN may flush, besides those in the table of relay domains.")
    )
    smtpd_etrn_restrictions: tuple[str, ...] = restrictions("", _("Restrictions at ETRN."))
    local_header_rewrite_clients: tuple[str, ...] = restrictions(
        "permit_sasl_authenticated", _("Clients whose messages get missing From, Date and Message-ID headers.")
    )
    smtpd_future_release_limit: int = seconds(
        "30d", _("Longest time a submitted message may be held for later delivery; 0: none.")
    )
    smtpd_sasl_message_hourly_limit: int = integer("0", _("Messages one account may send per hour; 0: no limit."))
    smtpd_sasl_message_daily_limit: int = integer("0", _("Messages one account may send per day; 0: no limit."))
    smtpd_sasl_recipient_hourly_limit: int = integer(
        "0", _("Recipients one account may send to per hour; 0: no limit.")
    )
    smtpd_sasl_recipient_daily_limit: int = integer("0", _("Recipients one account may send to per day; 0: no limit."))
    smtpd_restriction_classes: tuple[str, ...] = words(
        "", _("Names of restriction lists; each name is then a parameter itself.")
    )
    smtpd_reject_unlisted_recipient: bool = boolean(
        "yes", _("Reject unknown recipients, even without reject_unlisted_recipient in a list.")
    )
    smtpd_reject_unlisted_sender: bool = boolean(
        "no", _("Reject unknown senders in local domains, even without reject_unlisted_sender in a list.")
    )
    smtpd_sender_login_maps: tuple[str, ...] = words(
        "hash:sender_login",
        _("Tables of the accounts that may send as an address; default: the account it is delivered to."),
    )
    smtpd_null_access_lookup_key: str = text("<>", _("The lookup key for the null sender in access tables."))
    smtpd_peername_lookup: bool = boolean("yes", _("Look up clients' host names, for logs and Received headers."))
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
    smtpd_sasl_auth_enable: bool = boolean("yes", _("Offer AUTH to SMTP clients."))
    smtpd_sasl_security_options: tuple[str, ...] = words(
        "noanonymous", _("Kinds of authentication that AUTH does not offer.")
    )
    smtpd_sasl_tls_security_options: tuple[str, ...] = words(
        "$smtpd_sasl_security_options", _("Kinds of authentication that AUTH does not offer under TLS.")
    )
    smtpd_tls_cert_file: str = text("", _("The servers' certificate chain (PEM); empty: a self-signed certificate."))
    smtpd_tls_key_file: str = text("$smtpd_tls_cert_file", _("The private key (PEM) of smtpd_tls_cert_file."))
    tls_server_sni_maps: tuple[str, ...] = words(
        "hash:sni", _("Tables of certificate files by the host name a client requests (SNI).")
    )
    smtpd_tls_ask_ccert: bool = boolean("no", _("Request a certificate from SMTP clients (see relay_clientcerts)."))
    smtpd_tls_CAfile: str = text(  # noqa: N815  (as Postfix spells it)
        "", _("Certificate authorities (PEM) for clients' certificates.")
    )
    smtpd_tls_protocols: str = text(">=TLSv1.2", _("The oldest TLS version that all servers accept."))
    smtpd_tls_security_level: str = text(
        "may", _("TLS of all servers: none: no STARTTLS; may: clients choose; encrypt: required, except for LMTP.")
    )
    smtpd_tls_auth_only: bool = boolean("no", _("Offer AUTH only under TLS."))
    smtpd_forbid_bare_newline: bool = boolean("yes", _("Reject messages that contain bare CR or bare LF."))
    hopcount_limit: int = integer("50", _("Number of Received headers after which a message is considered to loop."))
    traffic_history_time: int = days("400d", _("Time the hourly statistics are kept."))
    direct_delivery: bool = boolean(
        "yes", _("Deliver a message for one local mailbox in the server that accepts it, without a courier.")
    )
    watchdog_timeout: int = seconds(
        "10s",
        _("Time the event loop of a server or web process may block before it is replaced; 0: no limit."),
    )
    listen_backlog: int = integer("511", _("Connections that may wait at a listening socket."))
    queue_minfree: int = byte_size("0", _("Free bytes the queue's file system must have; 0: 1.5 × message_size_limit."))

    # --- Queue ---
    minimal_backoff_time: int = seconds("300s", _("Shortest time between two delivery attempts."))
    maximal_backoff_time: int = seconds("4000s", _("Longest time between two delivery attempts."))
    queue_run_delay: int = seconds("300s", _("Time between two scans of the queue."))
    maximal_queue_lifetime: int = days("5d", _("Time after which an undeliverable message is returned to its sender."))
    bounce_queue_lifetime: int = days("5d", _("Time after which an undeliverable bounce is discarded."))
    delay_warning_time: int = hours(
        "0h", _("Time after which the sender is notified that a message is delayed; 0: never.")
    )
    qmgr_message_active_limit: int = integer("20000", _("Messages in delivery at once."))
    default_process_limit: int = integer("500", _("Simultaneous connections of one courier to other hosts."))
    initial_destination_concurrency: int = integer(
        "5", _("Simultaneous connections to a destination at the start of deliveries to it.")
    )
    default_destination_concurrency_limit: int = integer(
        "20", _("Largest number of simultaneous connections to one destination.")
    )
    default_destination_concurrency_failed_cohort_limit: int = integer(
        "1", _("Rounds of failed connections after which a destination is skipped for minimal_backoff_time.")
    )
    default_destination_recipient_limit: int = integer(
        "50", _("Recipients of one message in one delivery to another host.")
    )
    default_destination_rate_delay: int = seconds("0s", _("Pause between two deliveries to one destination."))
    defer_transports: tuple[str, ...] = words(
        "", _("Transports (smtp) whose mail is deferred until the queue is flushed by hand.")
    )
    notify_classes: tuple[str, ...] = words(
        "resource, software", _("Events that postmaster is notified of: bounce, 2bounce (bounces that fail), delay.")
    )
    bounce_notice_recipient: str = text("postmaster", _("The recipient of notices that notify_classes selects."))
    double_bounce_sender: str = text(
        "double-bounce", _("The sender of notices to postmaster; notices that fail are discarded.")
    )
    virtual_alias_expansion_limit: int = integer("1000", _("Addresses one alias may expand to."))
    virtual_alias_recursion_limit: int = integer("1000", _("Largest nesting depth of aliases."))
    queue_history_time: int = days("7d", _("Time that completed messages can still be found in the queue's history."))
    events_retention: int = days(
        "7d", _("Time that the event log keeps moved and deleted messages; 0: nothing is recorded.")
    )
    courier_batch: int = integer("100", _("Messages a courier claims from the queue at once."))
    courier_lease_time: int = seconds(
        "600s", _("Time after which another courier may claim the messages of a courier that died.")
    )

    # --- Filters (Sieve) ---
    sieve_max_script_size: int = byte_size("1048576", _("Largest Sieve script; 0: no limit."))
    sieve_quota_max_scripts: int = integer("16", _("Largest number of Sieve scripts of an account; 0: no limit."))
    sieve_max_actions: int = integer("32", _("Largest number of actions of a Sieve script on one message."))
    sieve_max_redirects: int = integer("4", _("Addresses a Sieve script may redirect one message to."))
    sieve_max_cpu_time: int = seconds("5s", _("CPU time limit of a Sieve script on one message."))
    sieve_vacation_default_period: int = days(
        "7d", _("Time before a sender gets another vacation reply, unless the script sets it.")
    )
    sieve_vacation_min_period: int = days("1d", _("Shortest time between vacation replies that a script may set."))
    sieve_vacation_max_period: int = days(
        "60d", _("Longest time between vacation replies that a script may set; 0: no limit.")
    )
    sieve_duplicate_default_period: int = days(
        "14d", _("Time the Sieve test duplicate tracks a message, unless the script sets it.")
    )
    sieve_duplicate_max_period: int = days(
        "30d", _("Longest time the Sieve test duplicate may track a message; 0: no limit.")
    )

    # --- Remote delivery ---
    smtp_connect_timeout: int = seconds("30s", _("Time limit for connecting to another host."))
    smtp_timeout: int = seconds("300s", _("Time limit for another host to reply to a command."))
    smtp_data_done_timeout: int = seconds("600s", _("Time limit for another host to reply to the end of a message."))
    smtp_helo_name: str = text("$myhostname", _("The host name sent in EHLO to other hosts."))
    smtp_skip_5xx_greeting: bool = boolean("yes", _("Skip a host that greets with 5xx and defer the mail."))
    smtp_mx_address_limit: int = integer("5", _("Largest number of a destination's addresses to try; 0: no limit."))
    smtp_mx_session_limit: int = integer(
        "2", _("Hosts of a destination that one delivery attempt opens a session with.")
    )
    smtp_connection_cache_time_limit: int = seconds(
        "2s", _("Time an idle connection to another host is kept open for the next message.")
    )
    smtp_connection_reuse_count_limit: int = integer(
        "0", _("Messages sent over one connection to another host; 0: no limit.")
    )
    smtp_connection_reuse_time_limit: int = seconds("300s", _("Time a connection to another host may be reused."))
    smtp_tls_security_level: str = text(
        "may", _("TLS to other hosts: none, may, encrypt, verify (host name), secure (name of the destination).")
    )
    smtp_tls_policy_maps: tuple[str, ...] = words(
        "hash:tls_policy", _("Tables of TLS levels by destination: a level, optionally with match=name:….")
    )
    smtp_tls_CAfile: str = text("", _("Certificate authorities (PEM) for other hosts; empty: the system's."))  # noqa: N815
    smtp_tls_verify_cert_match: tuple[str, ...] = words(
        "hostname", _("Names a certificate may have at TLS level verify: hostname, nexthop, dot-nexthop.")
    )
    smtp_tls_secure_cert_match: tuple[str, ...] = words(
        "nexthop, dot-nexthop", _("Names a certificate may have at TLS level secure: hostname, nexthop, dot-nexthop.")
    )
    smtp_tls_wrappermode: bool = boolean(
        "no", _("Connect to other hosts with TLS from the first byte, as on port 465.")
    )
    disable_mime_output_conversion: bool = boolean("no", _("Never convert 8-bit mail for hosts without 8BITMIME."))
    proxy_interfaces: tuple[str, ...] = words(
        "", _("Addresses of proxies or NAT gateways that this system receives mail through.")
    )
    dns_servers: tuple[str, ...] = words("", _("Name servers, host:port; empty: the system's."))
    dns_timeout: int = seconds("10s", _("Time limit for a name server to reply."))

    # --- Log ---
    maillog_file: str = text("", _('Where the mail log is written: a file, /dev/stdout, "syslog"; empty: log/maillog.'))
    syslog_name: str = text("youju", _("The name before the program name in log lines."))

    # Not a parameter of its own: the lists that smtpd_restriction_classes names.
    restriction_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SPECS: dict[str, Spec] = {
    f.name: Spec(f.name, f.metadata["kind"], f.metadata["default"], f.metadata["help"], f.metadata["secret"])
    for f in fields(Parameters)
    if f.metadata
}
