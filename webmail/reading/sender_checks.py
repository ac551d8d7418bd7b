"""Checks of a message's sender: authentication results, and signs of forgery.

Of SPF, DKIM and DMARC only the receiving server's results are trusted (RFC 8601): an Authentication-Results field with
its name, above the Received field that the same server wrote when the message arrived. A message without such a
Received field (appended, imported, fetched) has no trusted results. The other checks examine the message itself.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from mailcore.wire.sender_auth import authentication_results
from webmail.mailserver.server_names import is_own_name
from webmail.reading.message_content import MessageHeader
from webmail.values.addresses import Address

# Domains that are often imitated; the user's own and those of their contacts are added.
_FORGED_OFTEN = (
    *("paypal.com", "apple.com", "icloud.com", "microsoft.com", "office.com", "google.com", "gmail.com", "amazon.com"),
    *("facebook.com", "netflix.com", "dhl.com", "fedex.com", "ups.com", "github.com", "linkedin.com", "alipay.com"),
    *("taobao.com", "tmall.com", "qq.com", "weixin.com", "163.com", "126.com", "icbc.com.cn", "ccb.com", "boc.cn"),
    *("abchina.com", "cmbchina.com", "12306.cn"),
)
# Suffixes below which anyone may register a domain, as far as they matter here.
_SHARED = re.compile(r"^(?:com|net|org|gov|edu|ac|co|or|ne|go)\.[a-z]{2}$")
_METHODS = ("dmarc", "dkim", "spf")
_RESULT = re.compile(r"\b(spf|dkim|dmarc)\s*=\s*([a-z]+)", re.IGNORECASE)
_SIGNER = re.compile(r"\bheader\.(?:d|i)\s*=\s*@?([^\s;]+)", re.IGNORECASE)
_BY = re.compile(r"(?:^|\s)by\s+([^\s;]+)", re.IGNORECASE)
_TWINS = str.maketrans("0135|!", "olesll")
_ANCHOR = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
_SHOWN_HOST = re.compile(r"^\s*(?:https?://)?((?:[\w-]+\.)+[a-z]{2,24})(?:[/:?#]\S*)?\s*$", re.IGNORECASE)
MAX_LINKS = 500


@dataclass(frozen=True, slots=True)
class SenderFinding:
    level: str  # "good", "warning" or "danger"
    words: str


def check_sender(
    head: MessageHeader, visitor: str, known: Iterable[str] = (), *, enclosed: bool = False
) -> list[SenderFinding]:
    """Return the findings about a message's sender; `known` are the domains the user writes to.

    The header of a message `enclosed` in another is under its sender's control: no server of ours wrote any field of
    it.
    """
    writers = head.addresses("from")
    if not writers:
        return []
    sender = writers[0]
    domain = _domain(sender.mail)
    found = [] if enclosed else _check_authentication(head, visitor, domain)
    own = _domain(visitor)
    if domain and (twin := find_look_alike(domain, [own, *known, *_FORGED_OFTEN])):
        words = _("The sender’s domain %(domain)s looks like %(known)s, but is another.")
        found.append(SenderFinding("danger", words % {"domain": domain, "known": twin}))
    if mixed_label := _mixed_script(domain):
        found.append(SenderFinding("danger", _("The sender’s domain mixes alphabets: %s.") % mixed_label))
    if shown_address := _address_in(sender):
        words = _("The sender’s name shows the address %(shown)s, but the message comes from %(mail)s.")
        is_colleague = _is_same_organisation(_domain(shown_address), domain)
        level = "warning" if is_colleague else "danger"
        found.append(SenderFinding(level, words % {"shown": shown_address, "mail": sender.mail}))
    found += _check_submitter(head, sender)
    found += _check_reply_to(head, domain)
    return found


def _check_submitter(head: MessageHeader, author: Address) -> list[SenderFinding]:
    """Return a finding if the Sender field names another person than the author (RFC 5322 §3.6.2).

    Our submission server writes it for an account that may not write as the author; lists write one legitimately.
    """
    submitter = next((person for person in head.addresses("sender") if person.mail), None)
    if submitter is None or submitter.mail.casefold() == author.mail.casefold():
        return []
    if head.raw_first("list-id") or head.raw_first("list-post"):
        return []
    words = _("This message was sent by %(sender)s, not by %(author)s.")
    return [SenderFinding("warning", words % {"sender": submitter.mail, "author": author.mail or author.name})]


def _check_authentication(head: MessageHeader, visitor: str, domain: str) -> list[SenderFinding]:
    results, signer = trusted_results(head, visitor)
    if results.get("dmarc") == "pass" or (results.get("dkim") == "pass" and _is_same_organisation(signer, domain)):
        return [SenderFinding("good", _("The sender %s is confirmed.") % domain)]
    if results.get("dmarc") == "fail":
        return [SenderFinding("danger", _("The message only claims to come from %s: its domain disowns it.") % domain)]
    failed = [name.upper() for name in ("spf", "dkim") if results.get(name) in ("fail", "softfail", "permerror")]
    if failed:
        words = _("The sender %(domain)s could not be confirmed (%(methods)s).")
        return [SenderFinding("warning", words % {"domain": domain, "methods": ", ".join(failed)})]
    return []


def trusted_results(head: MessageHeader, visitor: str) -> tuple[dict[str, str], str]:
    """Return ({"spf": "pass", …}, signing domain) as our own server determined them; empty without trusted results."""
    results: dict[str, str] = {}
    signer = ""
    names = [name for name, _value in head.raw]
    above = names.index("received") if "received" in names else 0
    if not above or not is_own_name(_receiving_host(head.raw[above][1]), visitor):
        return {}, ""
    for name, value in head.raw[:above]:
        if name != "authentication-results" or not is_own_name(authentication_results.server_of(value), visitor):
            continue
        for clause in authentication_results.without_comments(value).partition(";")[2].split(";"):
            if match := _RESULT.search(clause):
                method, result = match[1].lower(), match[2].lower()
                if method == "dkim" and result == "pass" and (signer_match := _SIGNER.search(clause)):
                    signer = signer_match[1].rpartition("@")[2].lower()
                if results.get(method) != "pass":
                    results[method] = result
    return results, signer


def _receiving_host(received: str) -> str:
    """Return the host that wrote a Received field (RFC 5321 §4.4, the By-domain), or "" if it names none."""
    match = _BY.search(authentication_results.without_comments(received))
    return match[1].rstrip(".").lower() if match else ""


def find_look_alike(domain: str, known: Iterable[str]) -> str:
    """Return the known domain that `domain` imitates, or ""."""
    candidate = organisation(domain)
    real = {organisation(each) for each in known if each}
    if not candidate or candidate in real:
        return ""
    return next(
        (
            each
            for each in real
            if len(each) > 4 and (_skeleton(each) == _skeleton(candidate) or _is_near(each, candidate))
        ),
        "",
    )


def organisation(domain: str) -> str:
    """Return the registered part of a domain: mail.example.com.cn → example.com.cn."""
    labels = domain.lower().strip(".").split(".")
    count = 3 if len(labels) > 2 and _SHARED.match(".".join(labels[-2:])) else 2
    return ".".join(labels[-count:])


def find_misleading_links(html: str) -> list[tuple[str, str]]:
    """Return (host shown, actual host) of links in sanitized HTML with the name of another site as their text."""
    found: dict[tuple[str, str], None] = {}
    for number, match in enumerate(_ANCHOR.finditer(html)):
        if number >= MAX_LINKS:
            break
        text = _SHOWN_HOST.match(unescape(re.sub(r"<[^>]*>", "", match[2])))
        try:
            meant = (urlsplit(unescape(match[1])).hostname or "").lower()
        except ValueError:
            continue
        if text and meant and organisation(text[1]) != organisation(meant):
            found[text[1].lower(), meant] = None
    return list(found)


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower().strip(".")


def _is_same_organisation(one: str, other: str) -> bool:
    return bool(one) and organisation(one) == organisation(other)


def _unicode(domain: str) -> str:
    try:
        return domain.encode("ascii").decode("idna") if "xn--" in domain else domain
    except UnicodeError:
        return domain


def _skeleton(domain: str) -> str:
    """Return a domain without accents and with look-alike letters and digits unified."""
    text = unicodedata.normalize("NFKD", _unicode(domain)).casefold()
    text = "".join(_CONFUSED.get(sign, sign) for sign in text if not unicodedata.combining(sign))
    return text.translate(_TWINS).replace("rn", "m").replace("vv", "w").replace("-", "").replace("i", "l")


_CONFUSED = dict(zip("аеорсухіјѕԁһӏьгкмнтвαορνικτυ", "aeopcyxijsdhlbrkmhtbaopviktu", strict=False))


def _is_near(known: str, candidate: str) -> bool:
    """Return True if the names differ by one character added, missing or changed, or by two swapped.

    Names of fewer than six characters are too short for that to mean anything.
    """
    a, b = known.partition(".")[0], candidate.partition(".")[0]
    if known.partition(".")[2] != candidate.partition(".")[2] or len(a) < 6 or abs(len(a) - len(b)) > 1:
        return False
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    x, y = a[start:], b[start:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[:2][::-1] and x[2:] == y[2:])


def _mixed_script(domain: str) -> str:
    """Return the label of a domain that mixes Latin letters with those of a look-alike alphabet, or ""."""
    for label in _unicode(domain).split("."):
        scripts = {unicodedata.name(sign, "").partition(" ")[0] for sign in label if sign.isalpha()}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}:
            return label
    return ""


def _address_in(sender: Address) -> str:
    """Return the address that the sender's name shows, "" if it is the sender's own or there is none."""
    match = re.search(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+", sender.name)
    return match[0] if match and match[0].casefold() != sender.mail.casefold() else ""


def _check_reply_to(head: MessageHeader, domain: str) -> Sequence[SenderFinding]:
    """Return a finding if replies go to another organisation; mailing lists do so legitimately."""
    answers = head.addresses("reply-to")
    if not answers or head.raw_first("list-id") or head.raw_first("list-post"):
        return ()
    other = next((a.mail for a in answers if a.mail and not _is_same_organisation(_domain(a.mail), domain)), "")
    return (SenderFinding("warning", _("Answers go to another address: %s.") % other),) if other else ()
