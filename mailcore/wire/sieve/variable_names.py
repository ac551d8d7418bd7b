"""References to variables in strings, ${name}, and the names of variables (RFC 5229 §3, RFC 6609 §3.4)."""

import re

# Digits name what a wildcard or group stood for; a name with dots is one of the namespace before them.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*|[0-9]+)\}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
GLOBAL = "global."


def name_fault(name: str, *, has_include: bool) -> str:
    """Return what is wrong with the name of a variable, or ""; only include brings a namespace, `global`."""
    if has_include and name.lower().startswith(GLOBAL):
        name = name[len(GLOBAL) :]
    if _IDENTIFIER.fullmatch(name):
        return ""
    if "." in name and all(map(_IDENTIFIER.fullmatch, name.split("."))):
        return f'no extension in use has a variable "{name}"'
    return f'"{name}" is no name of a variable'


def reference_fault(text: str, *, has_include: bool) -> str:
    """Return what is wrong with the first wrong reference in a string, or ""."""
    for match in REFERENCE.finditer(text):
        if not match[1].isdecimal() and (fault := name_fault(match[1], has_include=has_include)):
            return fault
    return ""


def capture_number(digits: str) -> int:
    """Return the number of a match variable; it may be written with zeros, and be larger than any that exists."""
    return int((digits.lstrip("0") or "0")[:9])
