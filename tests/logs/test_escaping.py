"""Texts of outsiders reach neither the log nor a terminal raw."""

import unicodedata
from pathlib import Path

import pytest

from mailcore.logs import reader, writer
from mailcore.logs.escaping import escape_line, escape_output

BIDI = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
MARKS = {"\u200e", "\u200f", "\u061c"}


def is_dangerous(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in BIDI
        or character in MARKS
    )


def test_no_control_line_end_or_direction_control_is_kept():
    for code in range(0x110000):
        if is_dangerous(chr(code)):
            assert escape_line(chr(code)) == "?", hex(code)


@pytest.mark.parametrize("text", ["6F24D148440: client=unknown[192.0.2.7]", "张三 <zhang@例子.中国>", "Grüße – “x”"])
def test_ordinary_text_stays(text):
    assert escape_line(text) == escape_output(text) == text


def test_output_keeps_its_lines_and_columns():
    assert escape_output("a\tb\nc\x1b]0;title\x07\x9b2J\r") == "a\tb\nc?]0;title??2J?"


@pytest.mark.django_db
def test_one_call_writes_one_line_that_the_reader_returns_whole():
    writer.write("smtpd", "message-id=<\u2028Nov 22 14:05:09 mail youju/smtpd[1]: forged\x85\x1c\x0b\x0c\r\n>")
    path = writer.log_path()
    assert Path(path).read_text().count("\n") == 1
    found = reader.last_lines(path, reader.LogFilter([]), 10, 1 << 20)
    assert len(found) == 1
    assert found[0].endswith("message-id=<?Nov 22 14:05:09 mail youju/smtpd[1]: forged??????>")


def test_lines_that_another_writer_left_raw_stay_one_line(tmp_path):
    (tmp_path / "log").write_text("Nov 22 14:05:09 mail x[1]: a\u2028b\x0cc\nNov 22 14:05:10 mail x[1]: d\n")
    found = reader.last_lines(str(tmp_path / "log"), reader.LogFilter([]), 10, 1 << 20)
    assert [line.partition("]: ")[2] for line in found] == ["d", "a\u2028b\x0cc"]
