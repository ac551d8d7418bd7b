"""Environment of a Sieve script besides the message: mailboxes, lists, results of filters, the client, limits."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from django.conf import settings

from mailcore import VERSION, conf
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.store.access import sieve_scripts
from mailcore.wire.sieve.extensions import filter_scores
from mailcore.wire.sieve.results import Limits, ScriptEnvironment
from mailcore.wire.sieve.sieve_message import SieveMessage


def script_environment(
    script: sieve_scripts.ActiveScript, targets: dict[str, str], message: SieveMessage, content: bytes
) -> ScriptEnvironment:
    """Return what a script may ask for besides the message, of which `content` begins with our own trace fields."""
    parameters, now = conf.current(), now_us() / MICRO

    def target_mailboxes() -> dict[str, str]:
        if not targets:
            targets.update(sieve_scripts.list_target_mailboxes(script.account_id))
        return targets

    def mailbox_for(use: str) -> str:
        return next((name for name, its in target_mailboxes().items() if its and its.lower() == use.lower()), "")

    zone = ZoneInfo(script.time_zone or settings.TIME_ZONE)
    utc_offset = datetime.fromtimestamp(now, zone).utcoffset()
    return ScriptEnvironment(
        now=now,
        has_mailbox=lambda name: name in target_mailboxes(),
        mailbox_for=mailbox_for,
        was_seen=lambda key: sieve_scripts.has_seen(script.account_id, key),
        zone_minutes=int(utc_offset.total_seconds() // 60) if utc_offset else 0,
        environment={
            "domain": parameters.mydomain,
            "host": parameters.myhostname,
            "location": "MDA",
            "name": parameters.mail_name,
            "phase": "during",
            "version": VERSION,
            **_client(content),
        },
        find_list=partial(sieve_scripts.find_external_list, script.address),
        spam_ratio=partial(_filter_ratio, "spamtest", message),
        virus_ratio=partial(_filter_ratio, "virustest", message),
        load_script=partial(sieve_scripts.find_included_script, script.account_id),
        limits=Limits(
            parameters.sieve_max_actions,
            parameters.sieve_max_redirects,
            parameters.sieve_max_cpu_time,
            parameters.sieve_max_includes,
            parameters.sieve_max_include_depth,
            parameters.sieve_editheader_max_header_size,
            parameters.sieve_editheader_max_headers,
            frozenset(name.lower() for name in parameters.sieve_editheader_protected),
            sieve_scripts.regex_limits(),
        ),
    )


def _filter_ratio(test: str, message: SieveMessage, mind_time: Callable[[], None]) -> float | None:
    source = sieve_scripts.score_source(test)
    return filter_scores.find_ratio(source, message, sieve_scripts.regex_limits(), mind_time)


_RECEIVED = re.compile(rb"^Received: ([^\r\n]*)", re.MULTILINE)
_CLIENT = re.compile(rb"from [^()]*\(([^\s()\[\]]*) \[(?:IPv6:)?([^\[\]]*)\]\)")
_TRACE_SIZE = 4096  # bytes in which our own Received field begins: only Return-Path and the like stand above it


def _client(content: bytes) -> dict[str, str]:
    """Return the environment items of the client that sent the message (RFC 5183 §4.1), by our own Received field."""
    received = _RECEIVED.search(content, 0, _TRACE_SIZE)
    match = _CLIENT.match(received[1]) if received else None
    if match is None:
        return {}
    name, address = match[1].decode("ascii", "replace"), match[2].decode("ascii", "replace")
    return {"remote-ip": address} | ({"remote-host": name} if name not in ("", "unknown") else {})
