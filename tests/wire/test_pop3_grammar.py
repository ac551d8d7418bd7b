"""POP3's grammar and answers, as tables and properties."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire import pop3_commands
from mailcore.wire.message.message_scan import count_line_end_growth
from mailcore.wire.pop3_commands import AFTER, BEFORE, DotStuffer, Pop3Command, Pop3CommandError


@pytest.mark.parametrize(
    ("line", "state", "command"),
    [
        (b"USER lisi", BEFORE, Pop3Command("USER", b"lisi")),
        (b"user Li Si", BEFORE, Pop3Command("USER", b"Li Si")),
        (b"PASS  two  spaces ", BEFORE, Pop3Command("PASS", b" two  spaces ")),
        (b"STAT", AFTER, Pop3Command("STAT", b"")),
        (b"Capa", AFTER, Pop3Command("CAPA", b"")),
        ("PASS 密码".encode(), BEFORE, Pop3Command("PASS", "密码".encode())),
    ],
)
def test_commands(line, state, command):
    assert pop3_commands.parse_command(line, state) == command


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        (b"", BEFORE, "Unknown command."),
        (b"RETR 1", BEFORE, "Unknown command."),
        (b"USER lisi", AFTER, "Unknown command: USER"),
        (b"XYZZY", AFTER, "Unknown command: XYZZY"),
        (b"\x00\xff\x1b[2J", AFTER, "Unknown command: ?\ufffd?[2J"),
        ("СТАТ".encode(), AFTER, "Unknown command: СТАТ"),
    ],
)
def test_what_is_no_command(line, state, words):
    with pytest.raises(Pop3CommandError) as caught:
        pop3_commands.parse_command(line, state)
    assert str(caught.value) == words


SIZES = [120, 200, 451]


@pytest.mark.parametrize(("argument", "index"), [(b"1", 0), (b"3", 2), (b" 3 ", 2), (b"0003", 2)])
def test_message_numbers(argument, index):
    assert pop3_commands.parse_message_number(argument, SIZES, {1}) == index


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (b"0", "There's no message 0."),
        (b"4", "There's no message 4."),
        (b"99999999999999999999", "Noise after message number: 9999999999"),
        (b"2", "Message is deleted."),
        (b"", "Invalid message number: "),
        (b"one", "Invalid message number: one"),
        (b"-1", "Invalid message number: -1"),
        ("１".encode(), "Invalid message number: １"),
        (b"1 2", "Noise after message number:  2"),
    ],
)
def test_what_is_no_message_number(argument, words):
    with pytest.raises(Pop3CommandError) as caught:
        pop3_commands.parse_message_number(argument, SIZES, {1})
    assert str(caught.value) == words


def test_top_takes_two_numbers():
    assert pop3_commands.parse_top_arguments(b"3 10", SIZES, set()) == (2, 10)
    assert pop3_commands.parse_top_arguments(b"3 0", SIZES, set()) == (2, 0)
    for argument in (b"3", b"3 x", b"3 -1", b"3 1 2"):
        with pytest.raises(Pop3CommandError):
            pop3_commands.parse_top_arguments(argument, SIZES, set())


def test_sasl():
    assert pop3_commands.parse_auth(b"plain") == ("PLAIN", None)
    assert pop3_commands.parse_auth(b"PLAIN =") == ("PLAIN", b"")
    assert pop3_commands.parse_auth(b"PLAIN AGxpc2kAMTIzNDU2") == ("PLAIN", b"\0lisi\x00123456")
    assert pop3_commands.format_challenge() == b"+ \r\n"
    for line in (b"*", b"?", b"A", b"AGxpc2kAMTIzNDU2 "):
        with pytest.raises(Pop3CommandError):
            pop3_commands.decode_base64(line)


def sent(*pieces: bytes) -> tuple[bytes, int]:
    outgoing = DotStuffer()
    data = b"".join(outgoing.feed(piece) for piece in pieces) + outgoing.finish()
    return data, outgoing.byte_count


@pytest.mark.parametrize(
    ("content", "on_the_wire", "data"),
    [
        (b"", b".\r\n", 0),
        (b"a\r\n", b"a\r\n.\r\n", 3),
        (b"a", b"a\r\n.\r\n", 3),
        (b"a\r", b"a\r\n.\r\n", 3),
        (b"a\n\nb\n", b"a\r\n\r\nb\r\n.\r\n", 8),
        (b"a\nb\r\n\r", b"a\r\nb\r\n\r\n.\r\n", 8),
        (b"a\r\n\n.\n", b"a\r\n\r\n..\r\n.\r\n", 8),
        (b".\r\n..\r\na.\r\n", b"..\r\n...\r\na.\r\n.\r\n", 11),
        (b"a\r\n.", b"a\r\n..\r\n.\r\n", 6),
    ],
)
def test_messages_on_the_wire(content, on_the_wire, data):
    """Every line ends in CRLF, and the size is the one that is counted at delivery for LIST."""
    assert len(content) + count_line_end_growth(content) == data
    assert sent(content) == (on_the_wire, data)
    assert sent(*(content[i : i + 1] for i in range(len(content)))) == (on_the_wire, data)


def received(data: bytes) -> bytes:
    """Decode a response as a client does (RFC 1939 §3)."""
    assert data.endswith(b".\r\n")
    lines = data[:-3].split(b"\r\n")
    assert b"." not in lines
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


@given(st.binary(max_size=60), st.integers(1, 7), st.integers(0, 10))
def test_a_size_is_what_is_sent(content, step, skipped):
    assert len(content) + count_line_end_growth(b"x" * skipped + content, skipped, step) == sent(content)[1]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"]), max_size=30).map(b"".join), st.integers(1, 7))
def test_a_size_of_any_line_ends_is_what_is_sent(content, step):
    assert len(content) + count_line_end_growth(content, 0, step) == sent(content)[1]


lines = st.lists(st.sampled_from(["", "a", ".", "..", " .", "aaaa"]), max_size=20)


@given(lines, st.sampled_from(["\r\n", "\n"]), st.booleans(), st.lists(st.integers(0, 60), max_size=5))
def test_a_client_reads_what_was_stored_with_crlf_wherever_the_pieces_are_cut(texts, line_end, whole, cuts):
    stored = line_end.join([*texts, ""] if whole else texts).encode()
    cuts = sorted(min(cut, len(stored)) for cut in cuts)
    pieces = [stored[a:b] for a, b in zip([0, *cuts], [*cuts, len(stored)], strict=True)]
    data, count = sent(*pieces)
    wanted = stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if wanted and not wanted.endswith(b"\r\n"):
        wanted += b"\r\n"
    assert received(data) == wanted
    assert count == len(wanted)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_bytes_end_a_message_early(pieces):
    data, _ = sent(*pieces)
    end = re.compile(rb"(?:\A|\n)\.\r?\n").search(data)
    assert end
    assert end.end() == len(data)


@pytest.mark.parametrize(
    ("content", "count", "shown"),
    [
        (b"A: 1\r\n\r\nb\r\nc\r\n", 0, b"A: 1\r\n\r\n"),
        (b"A: 1\r\n\r\nb\r\nc\r\n", 1, b"A: 1\r\n\r\nb\r\n"),
        (b"A: 1\r\n\r\nb\r\nc\r\n", 9, b"A: 1\r\n\r\nb\r\nc\r\n"),
        (b"A: 1\n\nb\nc\n", 1, b"A: 1\n\nb\n"),
        (b"\r\nb\r\nc\r\n", 1, b"\r\nb\r\n"),
        (b"A: 1\r\n", 1, b"A: 1\r\n"),
        (b"", 1, b""),
    ],
)
def test_top(content, count, shown):
    assert pop3_commands.top_lines(content, count) == shown


def test_answers():
    assert pop3_commands.ok_response() == b"+OK\r\n"
    assert (
        pop3_commands.multiline_response("2 messages:", ["1 120", "2 200"])
        == b"+OK 2 messages:\r\n1 120\r\n2 200\r\n.\r\n"
    )
    assert pop3_commands.multiline_response("", []) == b"+OK\r\n.\r\n"
    assert pop3_commands.unique_id(0x6564, 1) == "0000000100006564"


def test_capabilities_follow_what_would_work_now():
    shy = pop3_commands.capability_lines(
        plaintext=False, mechanisms=("SCRAM-SHA-256",), starttls=True, implementation="Youju"
    )
    assert "STLS" in shy
    assert "USER" not in shy
    assert "SASL SCRAM-SHA-256" in shy
    open_ = pop3_commands.capability_lines(
        plaintext=True, mechanisms=("PLAIN", "LOGIN"), starttls=False, implementation="Youju"
    )
    assert "STLS" not in open_
    assert "USER" in open_
    assert "SASL PLAIN LOGIN" in open_
