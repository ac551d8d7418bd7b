"""SMTP's grammar: addresses, command arguments, and content cut anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire import smtp_commands
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.smtp_commands import DotUnstuffer, SmtpSyntaxError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("lisi@benet.com", "lisi@benet.com"),
        ("LiSi@Benet.COM", "LiSi@benet.com"),
        ("lisi@benet.com.", "lisi@benet.com"),
        ("postmaster", "postmaster"),
        ('"li si"@benet.com', "li si@benet.com"),
        ('"li\\"si"@benet.com', 'li"si@benet.com'),
        ('"lisi"@benet.com', "lisi@benet.com"),
        ("@a.example,@b.example:lisi@benet.com", "lisi@benet.com"),
        ("lisi@[192.0.2.1]", "lisi@[192.0.2.1]"),
        ("lisi@[IPv6:2001:db8::1]", "lisi@[ipv6:2001:db8::1]"),
        ("李四@例子.中国", "李四@xn--fsqu00a.xn--fiqs8s"),
    ],
)
def test_addresses(text, address):
    assert addresses.parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "@benet.com", "lisi@", "li si@benet.com", ".lisi@benet.com", "li..si@benet.com", "lisi.@benet.com"),
        *("lisi@be net.com", "lisi@-benet.com", "lisi@benet..com", "a@b@c", "lisi@[1.2.3]", "x" * 65 + "@benet.com"),
        *("lisi@benet.com\r\n", "li\0si@benet.com", '"lisi@benet.com', "lisi@" + "a." * 130 + "com"),
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(addresses.AddressError):
        addresses.parse_address(text)


@given(st.text(max_size=80))
def test_an_address_survives_being_written_and_read(text):
    try:
        address = addresses.parse_address(text)
    except addresses.AddressError:
        return
    assert addresses.parse_address(addresses.format_address(address)) == address


@given(st.binary(max_size=200))
def test_a_command_line_is_read_or_a_syntax_fault(line):
    try:
        verb, argument = smtp_commands.split_line(line)
        smtp_commands.parse_path(argument, "FROM")
    except SmtpSyntaxError as fault:
        code = fault.code
    else:
        code, verb = 250, verb.upper()
    assert code in (250, 500, 501)


def test_paths():
    assert smtp_commands.parse_path("FROM:<a@b.example> SIZE=10 body=8BITMIME SMTPUTF8", "FROM").parameters == {
        "SIZE": "10",
        "BODY": "8BITMIME",
        "SMTPUTF8": "",
    }
    assert smtp_commands.parse_path("FROM: a@b.example", "FROM").address == "a@b.example"
    assert smtp_commands.parse_path("from:<>", "FROM").address == ""
    for wrong in ("FROM:<> SIZE=", "FROM:<> SIZE=1 SIZE=2", "FROM:<> =1", "FROM:<a@b", "TO:<a@b>"):
        with pytest.raises(SmtpSyntaxError):
            smtp_commands.parse_path(wrong, "FROM")
    with pytest.raises(SmtpSyntaxError):
        smtp_commands.parse_path("TO:<>", "TO")


@given(st.text())
def test_xtext_there_and_back(text):
    text = text.encode("utf-8", "replace").decode()
    assert smtp_commands.decode_xtext(smtp_commands.encode_xtext(text)) == text


LINES = st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\r", b".").replace(b"\n", b".")), max_size=8)


@given(LINES, st.lists(st.integers(0, 60), max_size=5))
def test_content_cut_anywhere_comes_out_as_it_was(lines, cuts):
    content = b"".join(line + b"\r\n" for line in lines)
    writer, at, wire = smtp_commands.DotStuffingWriter(), 0, b""
    for cut in [*sorted(cuts), len(content)]:
        wire += writer.feed(content[at:cut])
        at = max(at, cut)
    wire += writer.end() + b"QUIT\r\n"
    stream, got, position = DotUnstuffer(), b"", 0
    for cut in [*sorted(cuts), len(wire)]:
        if not stream.ended:
            got += stream.feed(wire[position:cut])
            position = max(position, cut)
    assert stream.ended
    assert not stream.bare
    assert got == content
    assert stream.rest + wire[position:] == b"QUIT\r\n"


@pytest.mark.parametrize("wrong", [b"a\nb\r\n", b"a\rb\r\n", b"\n.\n\r\n", b"a\r\r\n", b"\r\n\n\r\n"])
def test_line_ends_that_stand_alone_are_noticed_wherever_the_cut(wrong):
    for cut in range(len(wrong) + 5):
        stream = DotUnstuffer()
        wire = wrong + b".\r\n"
        stream.feed(wire[:cut])
        if not stream.ended:
            stream.feed(wire[cut:])
        assert stream.ended
        assert stream.bare


@given(
    st.dictionaries(
        st.sampled_from(["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "HOLDFOR", "HOLDUNTIL", "X"]),
        st.text(max_size=30) | st.sampled_from(["1", "7BIT", "FULL", "2030-01-01T00:00:00Z", "a+3Db"]),
    )
)
def test_parameters_of_mail_are_understood_or_a_fault(given):
    try:
        parameters = smtp_commands.parse_mail_parameters(given)
    except SmtpSyntaxError as fault:
        code = fault.code
        assert code in (501, 552, 555)
    else:
        assert 0 <= parameters.size < 10**18
        assert parameters.release(0.0) >= 0.0


@given(st.dictionaries(st.sampled_from(["NOTIFY", "ORCPT", "X"]), st.text(max_size=30)))
def test_parameters_of_rcpt_are_understood_or_a_fault(given):
    try:
        notify, orcpt = smtp_commands.parse_rcpt_parameters(given)
    except SmtpSyntaxError as fault:
        code = fault.code
        assert code in (501, 555)
    else:
        assert set(filter(None, notify.split(","))) <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"}
        assert orcpt == given.get("ORCPT", "")


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"x"]), max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_line_ends_are_seen_however_content_is_cut(parts, cuts):
    content = b"".join(parts)
    watch = smtp_commands.BareNewlineDetector()
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    for start, end in itertools.pairwise(edges):
        watch.feed(content[start:end])
    watch.end()
    rest = content.replace(b"\r\n", b"")
    assert watch.bare is (b"\r" in rest or b"\n" in rest)
