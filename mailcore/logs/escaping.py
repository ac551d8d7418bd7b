"""Escaping of text from outside before it reaches the log or a terminal.

Clients choose HELO names, addresses, Message-IDs and replies. Written raw, a line end or U+2028 in them forges a log
line, ESC and the C1 controls command the administrator's terminal, and bidi controls reorder what a line says. As
Postfix's printable(), each such character becomes "?".
"""

_REPLACEMENT = "?"
_TERMINAL = (*range(0x20), *range(0x7F, 0xA0))  # C0, DEL, C1.
_INVISIBLE = (
    *(0xAD, 0x61C, 0x180E, 0xFEFF),
    *range(0x200B, 0x2010),  # Zero width, and marks of direction.
    *range(0x2028, 0x202F),  # Line and paragraph separator; embeddings and overrides of direction.
    *range(0x2060, 0x2070),  # Isolates of direction, and other format controls.
    *range(0xD800, 0xE000),  # Surrogates: bytes that were no UTF-8.
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),  # Tags.
)
_IN_LINE = dict.fromkeys((*_TERMINAL, *_INVISIBLE), _REPLACEMENT)
_IN_OUTPUT = dict.fromkeys(set(_TERMINAL) - {ord("\t"), ord("\n")}, _REPLACEMENT)


def escape_line(text: str) -> str:
    """Return text for one line of the log: control characters, line ends and direction controls become "?"."""
    return text.translate(_IN_LINE)


def escape_output(text: str) -> str:
    """Return text for a terminal: control characters except line ends and tabs become "?"."""
    return text.translate(_IN_OUTPUT)
