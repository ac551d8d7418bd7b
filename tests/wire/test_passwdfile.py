"""User files, line by line."""

import pytest

from mailcore.wire.passwdfile import Entry, parse


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("", None),
        ("# a comment", None),
        ("lisi:{SSHA}abc=", Entry("lisi", "{SSHA}abc=")),
        ("lisi@benet.com:{PLAIN}pass::::::", Entry("lisi@benet.com", "{PLAIN}pass")),
        (
            "lisi:{SHA512-CRYPT}$6$x$y:1000:1000:李四,room 3:/home/lisi:/bin/sh:quota=1",
            Entry("lisi", "{SHA512-CRYPT}$6$x$y", "李四"),
        ),
        ("lisi:$6$salt$hash:19676:0:99999:7:::", Entry("lisi", "$6$salt$hash")),
        ("daemon:*:19676:0:99999:7:::", Entry("daemon", "")),
        ("lisi:!$6$salt$hash:19676:0:99999:7:::", Entry("lisi", "")),
        ("lisi:x:1000:1000:李四:/home/lisi:/bin/sh", Entry("lisi", "", "李四")),
    ],
)
def test_lines(line, entry):
    assert parse(line) == entry


def test_a_line_without_a_colon():
    with pytest.raises(ValueError, match="need name:password"):
        parse("lisi")
