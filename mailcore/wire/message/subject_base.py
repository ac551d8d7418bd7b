"""The base subject (RFC 5256 §2.1): the subject without "Re:", "Fwd:", "[list]" and "(fwd)".

Works on folded text (NFKC maps full-width colons and brackets to plain ones) and knows the prefixes of Chinese,
Japanese and some European programs besides those of the RFC.
"""

import re

_REPLY = r"(?:re|fwd?|aw|wg|sv|vs|vb|tr|rv|答复|答覆|回复|回覆|转发|轉發|轉寄|转寄|返信|転送)"
_LEADER = re.compile(rf"\s*+(?:\[[^\[\]]*+\]\s*+)*+{_REPLY}\s*+(?:(?:\[[^\[\]]*+\]|\(\d++\))\s*+)?+:\s*+")
_BLOB = re.compile(r"\s*\[[^\[\]]*\]\s*")
_FORWARD = re.compile(r"\[fwd:(.*)\]$")


def strip_to_base(folded: str) -> tuple[str, bool]:
    """Return the base of a folded subject, and True if it had a reply or forward prefix."""
    text = " ".join(folded[:1000].split())
    reply = False
    while True:
        while text.endswith(("(fwd)", " ")):
            if text.endswith("(fwd)"):
                text, reply = text[:-5], True
            else:
                text = text.rstrip()
        before = text
        if match := _LEADER.match(text):
            text, reply = text[match.end() :], True
        elif (match := _BLOB.match(text)) and match.end() < len(text):
            text = text[match.end() :]
        elif match := _FORWARD.match(text):
            text, reply = match[1].strip(), True
        if text == before:
            return text, reply
