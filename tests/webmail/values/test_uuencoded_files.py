"""Files that stand uuencoded in a message's text."""

import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.values import uuencoded_files
from webmail_fixtures import Browser, PostOffice, make_message


def uuencoded(content: bytes, name: str = "a.bin") -> str:
    lines = [binascii.b2a_uu(content[at : at + 45], backtick=True).decode() for at in range(0, len(content), 45)]
    return f"begin 644 {name}\n{''.join(lines)}`\nend\n"


@given(st.binary(max_size=400), st.text("abc \n", max_size=30), st.text("abc \n", max_size=30))
def test_a_file_is_read_back_and_the_text_around_it_stays(content, before, after):
    before = before and before + "\n"
    text = before + uuencoded(content) + after
    [file] = uuencoded_files.find_files(text)
    assert uuencoded_files.decode_file(text, file) == content
    assert uuencoded_files.without_files(text) == before + after


@pytest.mark.parametrize(
    "text",
    [
        "begin 644 a.bin\n#86)C\n",  # no end
        "begin 644 a.bin\nthe beginning of a sentence\nend\n",
        "begin here\nend\n",
        "> begin 644 a.bin\n> #86)C\n> `\n> end\n",
        "",
    ],
)
def test_text_that_only_looks_so(text):
    assert uuencoded_files.find_files(text) == []
    assert uuencoded_files.without_files(text) == text


def test_several_files_and_damaged_lines():
    damaged = "begin 600 b\nM86)C\n#86)CX\n`\nend\n"  # a line too short, and one with a character too many
    text = uuencoded(b"one") + "between\n" + damaged + "begin 0644 报告.txt\n#86)C\n \nend"
    files = uuencoded_files.find_files(text)
    assert [file.name for file in files] == ["a.bin", "b", "报告.txt"]
    assert uuencoded_files.decode_file(text, files[0]) == b"one"
    assert uuencoded_files.decode_file(text, files[1]).endswith(b"abc")
    assert uuencoded_files.decode_file(text, files[2]) == b"abc"
    assert uuencoded_files.without_files(text) == "between\n"


def test_the_number_of_files_is_limited():
    text = uuencoded(b"x") * (uuencoded_files.MAX_FILES + 5)
    assert len(uuencoded_files.find_files(text)) == uuencoded_files.MAX_FILES


def test_a_file_in_the_text_is_offered(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("uu", "See this.\n\n" + uuencoded(b"\x00\x01 content", "报告.doc") + "Bye.\n"))
    lisi.see("/mail/1")
    assert "begin 644" not in lisi.page
    assert "See this." in lisi.page
    assert "Bye." in lisi.page
    [link] = re.findall(r'href="(/mail/\d+/text/[^"]+)"', lisi.page)
    response = lisi.get(link)
    assert response.content == b"\x00\x01 content"
    assert response["Content-Type"] == "application/octet-stream"
    assert "attachment" in response["Content-Disposition"]
    assert "%E6%8A%A5%E5%91%8A.doc" in response["Content-Disposition"]
    assert lisi.get(link.replace("/0", "/1")).status_code == 404
    assert lisi.get(link.replace("/text/", "/text/9")).status_code == 404
