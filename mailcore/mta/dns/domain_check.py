"""The DNS records a domain needs for its mail, and a check of those that are published.

`expected_records` lists the records, `check_records` queries them (for the screens and the overview). Queries run in
parallel, since a name server that is down costs dns_timeout for each.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import dns.reversename
from django.conf import settings
from django.utils.translation import gettext as _

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Domain
from mailcore.mta.dns import resolver
from mailcore.store.settings import dkim_keys
from mailcore.wire.sender_auth.dkim import parse_tags

State = Literal["right", "other", "missing", "unknown"]
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Record:
    """A record that should exist. `name` has no trailing dot; `value` is as in a zone file, TXT unquoted.

    `optional`: mail flows without it, but mail programs need more manual setup.
    """

    name: str
    kind: str
    value: str
    why: str
    optional: bool = False

    @property
    def zone_line(self) -> str:
        value = _quote_txt(self.value) if self.kind == "TXT" else self.value
        return f"{self.name}. 3600 IN {self.kind} {value}"


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record and the values found in the DNS. "unknown": no name server answered."""

    record: Record
    state: State
    found: tuple[str, ...] = ()


def _quote_txt(text: str) -> str:
    """Quote a TXT value in pieces of 255 bytes (RFC 1035 §3.3)."""
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))


def expected_records(domain: Domain) -> list[Record]:
    """Return every record that a domain with mailboxes here needs, the most important first."""
    name, host = domain.name, conf.current().myhostname
    records = [
        Record(host, "A", _("(the address of this server)"), _("Other servers find this server by its name.")),
        Record(name, "MX", f"10 {host}.", _("Mail for the domain is delivered to this server.")),
        Record(name, "TXT", "v=spf1 mx -all", _("SPF: only this server sends for the domain.")),
    ]
    keys = [key for key in dkim_keys.list_keys(domain) if key.state != dkim_keys.State.RETIRED]
    records += [Record(key.name, "TXT", key.record, _("DKIM: messages are signed with this key.")) for key in keys]
    policy = f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{name}"
    records.append(Record(f"_dmarc.{name}", "TXT", policy, _("DMARC: what receivers do with messages that fail both.")))
    for service, port in _service_records():
        value = f"0 1 {port} {host}."
        records.append(Record(f"_{service}._tcp.{name}", "SRV", value, _("Mail programs find the server."), True))
    prefixes = ("autoconfig", "autodiscover")
    words = _("Mail programs set themselves up.")
    return records + [Record(f"{prefix}.{name}", "CNAME", f"{host}.", words, True) for prefix in prefixes]


def _service_records() -> list[tuple[str, int]]:
    """Return the (service, port) pairs that are encrypted from the start (RFC 6186, RFC 8314 §5.1)."""
    names = (("imaps", "imaps"), ("submissions", "submissions"), ("pop3s", "pop3s"))
    return [(name, port) for name, service in names if (port := settings.PORTS[service]) is not None]


def render_zone(records: Iterable[Record]) -> str:
    """Return the records as lines of a zone file; the host's address is left for the administrator to fill in."""
    return "".join(f"{';' if record.kind == 'A' else ''}{record.zone_line}\n" for record in records)


def check_records(records: Sequence[Record]) -> list[CheckedRecord]:
    """Query all records and the host's reverse name now, bypassing the cache."""
    caches.clear(caches.Source.DNS)
    host = conf.current().myhostname  # Read here, so that the query threads do not use the database.
    with ThreadPoolExecutor(_THREADS) as pool:
        checked = list(pool.map(lambda record: _check_record(record, host), records))
    return [*checked, *_check_reverse(checked, host)]


def _check_record(record: Record, host: str) -> CheckedRecord:
    try:
        if record.kind == "A":
            values = resolver.lookup_addresses(record.name)
        elif record.kind == "CNAME":
            # An address record of its own serves as well.
            values = resolver.lookup_records(record.name, "CNAME") or resolver.lookup_addresses(record.name)
        else:
            values = resolver.lookup_records(record.name, record.kind)
    except resolver.DnsError:
        return CheckedRecord(record, "unknown")
    candidates = [each for each in values if _is_same_kind(record, each)]
    if not candidates:
        return CheckedRecord(record, "missing", tuple(values[:3]) if record.kind != "TXT" else ())
    right = any(_matches(record, each, host) for each in candidates) and (
        len(candidates) == 1 or record.kind not in ("TXT",)
    )
    return CheckedRecord(record, "right" if right else "other", tuple(candidates[:3]))


def _is_same_kind(record: Record, text: str) -> bool:
    """Return True if a TXT record has the purpose of `record`; a name may carry TXT records of other kinds."""
    if record.kind != "TXT":
        return True
    mark = record.value.partition(";")[0].partition(" ")[0]
    return text.lower().startswith(mark.lower()) or (mark == "v=DKIM1" and "p=" in text)


def _matches(record: Record, text: str, host: str) -> bool:
    if record.kind in ("A", "CNAME"):
        return True
    if record.kind == "MX":
        return text.split()[-1].rstrip(".").lower() == host.lower()
    if record.kind == "SRV":
        return text.lower().split()[2:] == record.value.lower().split()[2:]
    if record.value.startswith("v=spf1"):
        terms = text.lower().split()
        return any(
            word.lstrip("+").startswith(("mx", f"a:{host.lower()}", "ip4:", "ip6:", "include:")) for word in terms
        )
    if record.value.startswith("v=DMARC1"):
        return "p=" in text
    return parse_tags(b":" + text.encode()).get("p") == parse_tags(b":" + record.value.encode()).get("p")


def _check_reverse(checked: Sequence[CheckedRecord], host: str) -> list[CheckedRecord]:
    """Check the PTR of every address of the host: many servers reject mail from an address without a name."""
    found = [text for each in checked if each.record.kind == "A" for text in each.found]
    return [_check_ptr(address, host) for address in found]


def _check_ptr(address: str, host: str) -> CheckedRecord:
    name = dns.reversename.from_address(str(ipaddress.ip_address(address))).to_text(omit_final_dot=True)
    record = Record(
        name, "PTR", f"{host}.", _("The address %(address)s has this server's name.") % {"address": address}
    )
    try:
        texts = resolver.lookup_records(name, "PTR")
    except resolver.DnsError:
        return CheckedRecord(record, "unknown")
    if not texts:
        return CheckedRecord(record, "missing")
    right = any(text.rstrip(".").lower() == host.lower() for text in texts)
    return CheckedRecord(record, "right" if right else "other", tuple(texts[:3]))
