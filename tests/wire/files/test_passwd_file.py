"""User files, line by line."""

import pytest

from mailcore.wire.files.passwd_file import PasswdEntry, parse_line


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("", None),
        ("# a comment", None),
        ("lisi:{SSHA}abc=", PasswdEntry("lisi", "{SSHA}abc=")),
        ("lisi@benet.com:{PLAIN}pass::::::", PasswdEntry("lisi@benet.com", "{PLAIN}pass")),
        (
            "lisi:{SHA512-CRYPT}$6$x$y:1000:1000:李四,room 3:/home/lisi:/bin/sh:quota=1",
            PasswdEntry("lisi", "{SHA512-CRYPT}$6$x$y", "李四"),
        ),
        ("lisi:$6$salt$hash:19676:0:99999:7:::", PasswdEntry("lisi", "$6$salt$hash")),
        ("daemon:*:19676:0:99999:7:::", PasswdEntry("daemon", "")),
        ("lisi:!$6$salt$hash:19676:0:99999:7:::", PasswdEntry("lisi", "")),
        ("lisi:x:1000:1000:李四:/home/lisi:/bin/sh", PasswdEntry("lisi", "", "李四")),
    ],
)
def test_lines(line, entry):
    assert parse_line(line) == entry


def test_a_line_without_a_colon():
    with pytest.raises(ValueError, match="need name:password"):
        parse_line("lisi")
