"""Parsers of the files that Dovecot keeps beside a Maildir (doc.dovecot.org, "Maildir"), for `mailindex`.

They never raise: a line that cannot be parsed is ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_HEADER = re.compile(r"3 (.*)")
_OLD_HEADER = re.compile(r"1 (\d+) (\d+)")
_ENTRY = re.compile(r"(\d+) (?:[^:]* )?:(.+)")
_OLD_ENTRY = re.compile(r"(\d+) (.+)")
_MOST = (1 << 32) - 1


@dataclass(slots=True)
class UidList:
    """The content of `dovecot-uidlist`: UIDs by base name; 0 where a number is missing."""

    uid_validity: int = 0
    uid_next: int = 0
    uids: dict[str, int] = field(default_factory=dict)


def parse_uid_list(lines: Iterable[str]) -> UidList:
    found = UidList()
    entry = _ENTRY
    for number, line in enumerate(lines):
        line = line.rstrip("\n")
        if number == 0:
            if old := _OLD_HEADER.match(line):
                found.uid_validity, found.uid_next, entry = int(old[1]), int(old[2]), _OLD_ENTRY
            elif header := _HEADER.match(line):
                header_words = {word[0]: word[1:] for word in header[1].split() if word[1:].isdecimal()}
                found.uid_validity, found.uid_next = int(header_words.get("V", 0)), int(header_words.get("N", 0))
            else:
                break
        elif (match := entry.fullmatch(line)) and 0 < int(match[1]) <= _MOST:
            found.uids[match[2].partition(":2,")[0]] = int(match[1])
    if not 0 < found.uid_validity <= _MOST:
        return UidList()
    return found


def parse_keywords(lines: Iterable[str]) -> dict[str, str]:
    """Parse `dovecot-keywords` into a mapping from letters in file names to keywords."""
    found = {}
    for line in lines:
        number, _, word = line.strip().partition(" ")
        if number.isdecimal() and int(number) < 26 and word and not re.search(r'[\s(){%*"\\\]]', word):
            found[chr(ord("a") + int(number))] = word
    return found


def parse_subscriptions(lines: Iterable[str]) -> list[str]:
    """Parse `subscriptions` into mailbox names as in Maildir++ directories, without the first dot."""
    found = [line.rstrip("\n") for line in lines]
    if found and found[0].startswith("V\t"):
        found = found[1:]
    return [name.replace("\t", ".").replace("/", ".") for name in found if name]
