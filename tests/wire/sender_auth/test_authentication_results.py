"""Authentication-Results (RFC 8601): whose name a field bears, and taking forged ones out of what comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.sender_auth.authentication_results import (
    FIELD_LIMIT,
    NAMES_LIMIT,
    ResultsFilter,
    server_of,
    without_comments,
)


def is_ours(name: str) -> bool:
    return name in ("mail.benet.com", "benet.com", "xn--fiqs8s.example")


def filtered(content: bytes, *cuts: int) -> bytes:
    results, out, at = ResultsFilter(is_ours), b"", 0
    for cut in (*sorted(cuts), len(content)):
        out += results.feed(content[at:cut])
        at = max(at, cut)
    return out + results.finish()


FORGED = [
    b"Authentication-Results: mail.benet.com; dmarc=pass\r\n",
    b"authentication-RESULTS: MAIL.BENET.COM; dmarc=pass\r\n",
    b"Authentication-Results \t: benet.com; dmarc=pass\r\n",
    b"Authentication-Results: benet.com. ; dmarc=pass\r\n",
    b"Authentication-Results: benet.com 1; dmarc=pass\r\n",
    b"Authentication-Results: benet.com (x) 1 (y); dmarc=pass\r\n",
    b"Authentication-Results: (a (nested) \\) comment)mail.benet.com; dmarc=pass\r\n",
    b"Authentication-Results: (unended mail.benet.com; dmarc=pass\r\n",
    b'Authentication-Results: "mail.benet.com"; dmarc=pass\r\n',
    b'Authentication-Results: "mail\\.benet.com" 1; dmarc=pass\r\n',
    b"Authentication-Results:\r\n mail.benet.com;\r\n\tdmarc=pass\r\n",
    b"Authentication-Results:\r\n \r\n (x)\r\n benet.com\r\n",
    b"Authentication-Results: benet.com\r\n",
    b"Authentication-Results: benet.com none\r\n",
    b"Authentication-Results: ; dmarc=pass\r\n",
    b"Authentication-Results:\r\n",
    b"Authentication-Results: mail.benet.com/1; dmarc=pass\r\n",
    b"Authentication-Results: mail .benet.com; dmarc=pass\r\n",
    b"Authentication-Results: mail(x).benet.com; dmarc=pass\r\n",
    b"Authentication-Results: mail\0.benet.com; dmarc=pass\r\n",
    b"Authentication-Results: mail\r.benet.com; dmarc=pass\r\n",
    b"Authentication-Results: =?utf-8?q?benet.com?=; dmarc=pass\r\n",
    "Authentication-Results: ｂｅｎｅｔ.com; dmarc=pass\r\n".encode(),
    "Authentication-Results: ben\u200bet.com; dmarc=pass\r\n".encode(),
    "Authentication-Results: 中国.example; dmarc=pass\r\n".encode(),
    b"Authentication-Results: mail.benet.com; dmarc=pass\n",
    b"Authentication-Results: " + b" " * (2 * FIELD_LIMIT) + b"mail.benet.com; dmarc=pass\r\n",
    b"Authentication-Results: " + b"(x)\r\n " * FIELD_LIMIT + b"mail.benet.com; dmarc=pass\r\n",
]
HONEST = [
    b"Authentication-Results: mx.google.com; dkim=pass\r\n",
    b"Authentication-Results: mail.benet.com.evil.example; dkim=pass\r\n\tx=y\r\n",
    b"Authentication-Results: xbenet.com 1; (mail.benet.com) dkim=pass\r\n",
    b"ARC-Authentication-Results: i=1; mail.benet.com; dkim=pass\r\n",
    b"X-Authentication-Results: mail.benet.com; dkim=pass\r\n",
    b"Subject: Authentication-Results: mail.benet.com; dkim=pass\r\n",
    b"Subject: x\r\n Authentication-Results: mail.benet.com; dkim=pass\r\n",
]
BODY = b"\r\nAuthentication-Results: mail.benet.com; in the body\r\n"


def cuts_of(content: bytes) -> list[tuple[int, ...]]:
    short = range(len(content)) if len(content) < 500 else range(0, len(content), 997)
    return [(), *((cut,) for cut in short), tuple(short)]


@pytest.mark.parametrize("field", FORGED, ids=range(len(FORGED)))
def test_forged_ones_are_removed_however_they_arrive(field: bytes) -> None:
    for before, after in ((b"", b""), (b"From: a@b\r\n", b"To: c@d\r\n"), (HONEST[0], HONEST[1])):
        content = before + field + after + BODY
        for cuts in cuts_of(content):
            left = filtered(content, *cuts)
            assert left.startswith(before), cuts
            assert left.endswith(after + BODY), cuts
            middle = left[len(before) : len(left) - len(after + BODY)]
            assert not middle or (b"\r." in field and middle == field[field.index(b"\r.") + 1 :]), cuts


@pytest.mark.parametrize("field", HONEST)
def test_others_stay(field: bytes) -> None:
    for content in (field + BODY, b"From: a@b\r\n" + field + b"To: c@d\r\n" + BODY, field):
        for cuts in cuts_of(content):
            assert filtered(content, *cuts) == content


def test_a_cr_alone_starts_a_line_but_never_ends_the_header() -> None:
    assert filtered(b"X: y\rAuthentication-Results: benet.com; a\r\n\r\nbody") == b"X: y\r\r\nbody"
    content = b"X: y\r\r\n" + FORGED[0] + b"\r\nbody"
    assert filtered(content) == b"X: y\r\r\n\r\nbody"


def test_an_lf_alone_does_not_end_the_header() -> None:
    assert filtered(b"X: y\r\n\n" + FORGED[0] + b"\r\nbody") == b"X: y\r\n\n\r\nbody"
    assert filtered(b"\n" + FORGED[0] + b"\r\nbody") == b"\n\r\nbody"


def test_names_are_looked_up_so_often() -> None:
    asked: list[str] = []

    def ask(name: str) -> bool:
        asked.append(name)
        return False

    results = ResultsFilter(ask)
    fields = b"".join(b"Authentication-Results: m%d.example; spf=pass\r\n" % number for number in range(5000))
    left = results.feed(fields + b"\r\n") + results.finish()
    assert len(asked) == NAMES_LIMIT
    assert left.count(b"\r\n") == NAMES_LIMIT + 1


def test_little_is_held_back() -> None:
    results = ResultsFilter(is_ours)
    for _ in range(100):
        results.feed(b"x" * 65_536)
        assert len(results._held) <= FIELD_LIMIT
    results.feed(b"\r\nAuthentication-Results: a.example (")
    for _ in range(100):
        results.feed(b"x\r\n " * 16_384)
        assert len(results._held) + len(results._field) <= 2 * FIELD_LIMIT


@given(
    st.lists(st.sampled_from([*FORGED[:26], *HONEST, b"From: a@b\r\n", b"\r", b"\n", b" ", b"\r\n", b"x"])), st.data()
)
def test_the_parts_it_comes_in_make_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    content = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=6))
    assert filtered(content, *cuts) == filtered(content)


def test_comments() -> None:
    assert without_comments('a (b (c) "d) e "(h)" \\( i') == 'a   e "(h)" \\( i'
    assert server_of("(x)mail.example(y); a=b") == "mail.example"
    assert server_of("a b; c=d") == ""
