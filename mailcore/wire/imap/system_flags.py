"""IMAP system flags as bits of a number (RFC 9051 §2.3.2) and as Maildir info letters."""

SEEN = 1
ANSWERED = 2
FLAGGED = 4
DELETED = 8
DRAFT = 16

NAMES: dict[int, str] = {
    ANSWERED: "\\Answered",
    FLAGGED: "\\Flagged",
    DELETED: "\\Deleted",
    SEEN: "\\Seen",
    DRAFT: "\\Draft",
}
BITS: dict[str, int] = {name.lower(): bit for bit, name in NAMES.items()}

# Maildir info letters, in ASCII order as the format requires (cr.yp.to/proto/maildir.html).
LETTERS: tuple[tuple[str, int], ...] = (
    ("D", DRAFT),
    ("F", FLAGGED),
    ("R", ANSWERED),
    ("S", SEEN),
    ("T", DELETED),
)


def to_info(flags: int) -> str:
    """Return the info suffix of a Maildir file name, ":2,FS"."""
    return ":2," + "".join(letter for letter, bit in LETTERS if flags & bit)


def from_info(name: str) -> int:
    """Return the flags in a Maildir file name, ignoring letters of other programs."""
    info = name.rpartition(":2,")[2] if ":2," in name else ""
    return sum(bit for letter, bit in LETTERS if letter in info)
