"""The DNS page: what is needed, what the name server says, DKIM keys made and put to work."""

import re

import pytest

from mailcore.conf import caches
from mailcore.models import DkimKey, Domain
from nameserver import NameServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def names(parameters):
    """`names({...})`: a name server with these records."""
    servers: list[NameServer] = []

    def start(records, broken=()) -> NameServer:
        servers.append(NameServer(records, broken))
        parameters(dns_servers=servers[-1].address, myhostname="mail.benet.com", dns_timeout="2s")
        caches.clear_all()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def key_of(domain: Domain) -> DkimKey:
    return DkimKey.objects.filter(domain=domain).latest("pk")


def records(office, **changes) -> dict[tuple[str, str], list[str]]:
    key = key_of(office.benet)
    value = f"v=DKIM1; k=rsa; p={key.public}"
    pieces = " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))
    return {
        ("mail.benet.com", "A"): ["192.0.2.25"],
        ("25.2.0.192.in-addr.arpa", "PTR"): ["mail.benet.com."],
        ("benet.com", "MX"): ["10 mail.benet.com."],
        ("benet.com", "TXT"): ['"v=spf1 mx -all"', '"other=1"'],
        (f"{key.selector}._domainkey.benet.com", "TXT"): [pieces],
        ("_dmarc.benet.com", "TXT"): ['"v=DMARC1; p=none"'],
        ("_imaps._tcp.benet.com", "SRV"): ["0 1 1993 mail.benet.com."],
        ("autoconfig.benet.com", "CNAME"): ["mail.benet.com."],
    } | changes


@pytest.fixture
def ann(office, visit):
    browser = visit("ann")
    browser.post(f"/admin/domains/{office.benet.pk}/dns/key", {"action": "make", "algorithm": "rsa-sha256"})
    return browser


def states(answer) -> dict[str, str]:
    return {f"{each.record.kind} {each.record.name}": each.state for each in answer.context["rows"]}


def test_a_domain_that_is_right(office, ann, names):
    names(records(office))
    page = ann.get(f"/admin/domains/{office.benet.pk}/dns?check=1")
    needed = {name: state for name, state in states(page).items() if not name.startswith(("SRV", "CNAME"))}
    assert set(needed.values()) == {"right"}, needed
    assert len(needed) == 6
    assert states(page)["SRV _imaps._tcp.benet.com"] == "right"
    assert states(page)["CNAME autoconfig.benet.com"] == "right"
    assert states(page)["CNAME autodiscover.benet.com"] == "missing"
    assert "Everything that mail needs is there." in page.text


@pytest.mark.parametrize(
    ("change", "record", "state"),
    [
        ({("benet.com", "MX"): ["10 mx.elsewhere.example."]}, "MX benet.com", "other"),
        ({("benet.com", "MX"): []}, "MX benet.com", "missing"),
        ({("benet.com", "TXT"): ['"v=spf1 -all"']}, "TXT benet.com", "other"),
        ({("benet.com", "TXT"): ['"v=spf1 mx"', '"v=spf1 a"']}, "TXT benet.com", "other"),
        ({("_dmarc.benet.com", "TXT"): ['"something"']}, "TXT _dmarc.benet.com", "missing"),
        ({("25.2.0.192.in-addr.arpa", "PTR"): ["dsl-7.isp.example."]}, "PTR 25.2.0.192.in-addr.arpa", "other"),
        ({("mail.benet.com", "A"): []}, "A mail.benet.com", "missing"),
        ({("_imaps._tcp.benet.com", "SRV"): ["0 1 143 mail.benet.com."]}, "SRV _imaps._tcp.benet.com", "other"),
    ],
)
def test_what_is_wrong_is_said(office, ann, names, change, record, state):
    names(records(office) | change)
    assert states(ann.get(f"/admin/domains/{office.benet.pk}/dns?check=1"))[record] == state


def test_another_key_is_found_out(office, ann, names):
    key = key_of(office.benet)
    name = f"{key.selector}._domainkey.benet.com"
    names(records(office) | {(name, "TXT"): ['"v=DKIM1; k=rsa; p=MIIB"']})
    assert states(ann.get(f"/admin/domains/{office.benet.pk}/dns?check=1"))[f"TXT {name}"] == "other"


def test_a_name_server_that_fails_is_no_verdict(office, ann, names):
    names({}, broken=("benet.com",))
    page = ann.get(f"/admin/domains/{office.benet.pk}/dns?check=1")
    assert states(page)["MX benet.com"] == "unknown"
    assert "no answer" in page.text


def test_without_checking_nobody_is_asked(office, ann, names):
    server = names({})
    page = ann.get(f"/admin/domains/{office.benet.pk}/dns")
    assert server.asked == []
    assert "v=spf1 mx -all" in page.text
    zone = re.search(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.DOTALL)[1]
    assert "benet.com. 3600 IN MX 10 mail.benet.com." in zone
    assert all(len(piece) <= 255 for piece in re.findall("&quot;(.*?)&quot;", zone))


def test_the_overview_remembers_what_was_wrong(office, ann, names):
    names(records(office) | {("benet.com", "MX"): []})
    ann.get(f"/admin/domains/{office.benet.pk}/dns?check=1")
    assert "DNS of benet.com: 1 record is wrong." in ann.get("/admin/").text


def test_a_key_is_made_put_to_work_and_deleted(office, ann):
    url = f"/admin/domains/{office.benet.pk}/dns/key"
    first = key_of(office.benet)
    assert first.state == "waiting"
    ann.post(url, {"action": "sign", "key": first.pk})
    ann.post(url, {"action": "make", "algorithm": "rsa-sha256"})
    second = key_of(office.benet)
    assert second.selector != first.selector
    ann.post(url, {"action": "sign", "key": second.pk})
    assert [DkimKey.objects.get(pk=each.pk).state for each in (first, second)] == ["retired", "signing"]
    asked = ann.post(url, {"action": "delete", "key": second.pk})
    assert "it is sent unsigned" in asked.text
    assert "unsigned" not in ann.post(url, {"action": "delete", "key": first.pk}).text
    assert DkimKey.objects.count() == 2
    ann.post(url, {"action": "delete", "key": first.pk, "sure": "1"})
    assert not DkimKey.objects.filter(pk=first.pk).exists()
    assert ann.post(url, {"action": "make", "algorithm": "md5"}).status_code == 404


def test_only_the_domains_own_keys_are_touched(office, ann, visit):
    key = key_of(office.benet)
    assert (
        visit("dora")
        .post(f"/admin/domains/{office.benet.pk}/dns/key", {"action": "delete", "key": key.pk, "sure": "1"})
        .status_code
        == 403
    )
    visit("dora").post(f"/admin/domains/{office.accp.pk}/dns/key", {"action": "delete", "key": key.pk, "sure": "1"})
    assert visit("audrey").post(f"/admin/domains/{office.benet.pk}/dns/key", {"action": "make"}).status_code == 403
    assert DkimKey.objects.filter(pk=key.pk).exists()
