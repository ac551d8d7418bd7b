"""What bodies look like: JSON Schema, as the description shows it and as requests are checked against it."""

import re
from collections.abc import Mapping
from typing import Any

from mailcore.models import Account, Domain

Schema = dict[str, Any]


def _octets(words: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53, "description": words}


def _count(words: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1, "description": words}


def _text(longest: int, words: str = "") -> Schema:
    return {"type": "string", "maxLength": longest} | ({"description": words} if words else {})


DOMAIN: Schema = {
    "kind": {"type": "string", "enum": list(Domain.Kind.values)},
    "target": _text(255, "of an alias domain: the domain it stands for"),
    "active": {"type": "boolean"},
    "account_quota_bytes": _octets("quota of an account; null: the system's, 0: no limit"),
    "account_quota_messages": _count("messages of an account"),
    "total_quota_bytes": _octets("quota of the whole domain"),
    "max_accounts": _count("accounts at most"),
    "max_aliases": _count("aliases at most"),
    "catch_all": _text(320, "who gets mail for names that do not exist"),
}
ACCOUNT: Schema = {
    "name": _text(200),
    "state": {"type": "string", "enum": list(Account.State.values)},
    "role": {"type": "string", "enum": list(Account.Role.values), "description": "given by administrators only"},
    "managed_domains": {"type": "array", "items": _text(255), "maxItems": 1000},
    "expires": {"type": ["string", "null"], "format": "date", "pattern": r"^\d{4}-\d\d-\d\d$"},
    "quota_bytes": _octets("null: the domain's, 0: no limit"),
    "quota_messages": _count("null: the domain's"),
    "language": _text(16),
    "time_zone": _text(64),
}
ALIAS: Schema = {
    "targets": {"type": "array", "items": _text(320), "minItems": 1, "maxItems": 1000},
    "active": {"type": "boolean"},
    "comment": _text(200),
}
PASSWORD: Schema = {"password": _text(1000)}
ACTION: Schema = {
    "action": {"type": "string", "enum": ["flush", "hold", "release", "requeue", "return", "delete"]},
    "ids": {"type": "array", "items": {"type": "string", "pattern": "^[0-9A-F]{1,16}$"}, "maxItems": 1000},
}
VALUE: Schema = {"value": _text(10_000)}


def body(properties: Mapping[str, Any], *required: str) -> Schema:
    shape: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return shape | ({"required": list(required)} if required else {})


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip


def wrong(schema: Schema, value: object, where: str = "") -> dict[str, str]:
    """Field → why, of what does not fit; as much of JSON Schema as the shapes above use."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    fits = [
        kind for kind in kinds if isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    ]
    if not fits:
        return {where: f"not of type {' or '.join(kinds)}"}
    if "enum" in schema and value not in schema["enum"]:
        return {where: f"not one of {', '.join(schema['enum'])}"}
    if isinstance(value, str):
        return _wrong_text(schema, value, where)
    if isinstance(value, int) and not isinstance(value, bool):
        within = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return {} if within else {where: f"not between {schema['minimum']} and {schema['maximum']}"}
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
            return {where: f"not between {schema.get('minItems', 0)} and {schema['maxItems']} items"}
        return next((found for each in value if (found := wrong(schema["items"], each, where))), {})
    return _wrong_object(schema, value, where) if isinstance(value, dict) else {}


def _wrong_text(schema: Schema, value: str, where: str) -> dict[str, str]:
    if len(value) > schema.get("maxLength", len(value)):
        return {where: f"longer than {schema['maxLength']} characters"}
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        return {where: "not text"}
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return {where: f"not like {schema['pattern']}"}
    return {}


def _wrong_object(schema: Schema, value: dict[str, object], where: str) -> dict[str, str]:
    found = {name: "is needed" for name in schema.get("required", ()) if name not in value}
    for name, each in value.items():
        if name not in schema["properties"]:
            found[str(name)[:100]] = "unknown field"
        else:
            found |= wrong(schema["properties"][name], each, name)
    return found
