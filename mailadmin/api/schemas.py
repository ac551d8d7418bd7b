"""JSON Schemas of request bodies, query parameters and responses; requests are validated with them."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin.views.profile.web_sessions import KINDS
from mailcore.models import Account, DkimKey, Domain

Schema = dict[str, Any]


def _byte_count_schema(description: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53, "description": description}


def _count_schema(description: str) -> Schema:
    return {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1, "description": description}


def _text_schema(longest: int, description: str = "") -> Schema:
    return {"type": "string", "maxLength": longest} | ({"description": description} if description else {})


DOMAIN: Schema = {
    "kind": {"type": "string", "enum": list(Domain.Kind.values)},
    "target": _text_schema(255, "target of an alias domain"),
    "active": {"type": "boolean"},
    "account_quota_bytes": _byte_count_schema("quota of an account; null: the system's, 0: no limit"),
    "account_quota_messages": _count_schema("message limit of an account"),
    "total_quota_bytes": _byte_count_schema("quota of the whole domain"),
    "max_accounts": _count_schema("maximum number of accounts"),
    "max_aliases": _count_schema("maximum number of aliases"),
    "catch_all": _text_schema(320, "recipient of mail for addresses that do not exist"),
}
ACCOUNT: Schema = {
    "name": _text_schema(200),
    "state": {"type": "string", "enum": list(Account.State.values)},
    "role": {"type": "string", "enum": list(Account.Role.values), "description": "set by system administrators only"},
    "managed_domains": {"type": "array", "items": _text_schema(255), "maxItems": 1000},
    "expires": {"type": ["string", "null"], "format": "date", "pattern": r"^\d{4}-\d\d-\d\d$"},
    "quota_bytes": _byte_count_schema("null: the domain's, 0: no limit"),
    "quota_messages": _count_schema("null: the domain's"),
    "language": _text_schema(16),
    "time_zone": _text_schema(64),
}
ALIAS: Schema = {
    "targets": {"type": "array", "items": _text_schema(320), "minItems": 1, "maxItems": 1000},
    "active": {"type": "boolean"},
    "comment": _text_schema(200),
}
PASSWORD: Schema = {"password": _text_schema(1000)}
REVOKE: Schema = {"revoke": {"type": "boolean", "description": "also revoke app passwords and API tokens"}}
ACTION: Schema = {
    "action": {"type": "string", "enum": ["flush", "hold", "release", "requeue", "return", "delete"]},
    "ids": {"type": "array", "items": {"type": "string", "pattern": "^[0-9A-F]{1,16}$"}, "maxItems": 1000},
}
VALUE: Schema = {"value": _text_schema(10_000)}
END: Schema = {
    "what": {
        "type": "string",
        "enum": list(KINDS),
        "description": "one session, app password or token, or all of a kind",
    },
    "number": {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**53,
        "description": "number of the session, app password or token",
    },
}
KEY: Schema = {"algorithm": {"type": "string", "enum": list(DkimKey.Algorithm.values)}}
_ENTRY: Schema = {
    "type": "object",
    "properties": {"key": _text_schema(255), "value": _text_schema(2000)},
    "required": ["key", "value"],
    "additionalProperties": False,
}
TABLE: Schema = {"entries": {"type": "array", "items": _ENTRY, "maxItems": 5000}}
SIMULATION: Schema = {
    "client": _text_schema(45, "IP address of the client"),
    "helo": _text_schema(255, "HELO name of the client"),
    "sender": _text_schema(320, "empty: the null sender"),
    "recipient": _text_schema(320),
    "login": _text_schema(320, "authenticated account"),
    "size": {"type": "integer", "minimum": 0, "maximum": 2**40},
    "tls": {"type": "boolean"},
}


def _named_schema(name: str, description: str = "") -> Schema:
    return {"type": name} | ({"description": description} if description else {})


_MOMENT: Schema = {"type": "string", "format": "date-time"}
_MICROSECONDS = _named_schema("integer", "microseconds since 1970 UTC")
_TEXT, _NUMBER, _YES_OR_NO = _named_schema("string"), _named_schema("integer"), _named_schema("boolean")
_QUEUED: Schema = {
    "queue_id": _TEXT, "state": _TEXT, "sender": _named_schema("string", "empty: the null sender"), "size": _NUMBER,
    "received_us": _MICROSECONDS, "due_us": _MICROSECONDS, "message_id": _TEXT,
}  # fmt: skip
_KEY: Schema = {
    "selector": _TEXT, "algorithm": _TEXT, "state": {"type": "string", "enum": list(DkimKey.State.values)},
    "created": _MOMENT, "name": _named_schema("string", "name of the DNS record"), "record": _TEXT,
}  # fmt: skip


def _list_schema(properties: Schema) -> Schema:
    return {"type": "array", "items": _object_schema(properties)}


def _object_schema(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _without_limits(properties: Schema) -> Schema:
    """Return the fields for a response, without a request's limits: stored values are returned whatever they are."""
    copied_keys = ("type", "enum", "format", "description")
    return {
        name: {key: value for key, value in each.items() if key in copied_keys}
        | ({"items": {"type": "string"}} if each["type"] == "array" else {})
        for name, each in properties.items()
    }


ANSWERS: dict[str, Schema] = {
    "Domain": _object_schema({"domain": _TEXT, **_without_limits(DOMAIN), "created": _MOMENT}),
    "Account": _object_schema({
        "address": _TEXT, **_without_limits(ACCOUNT), "used_bytes": _NUMBER, "used_messages": _NUMBER,
        "second_factor": _YES_OR_NO, "created": _MOMENT,
    }),
    "Alias": _object_schema({"address": _TEXT, **_without_limits(ALIAS), "created": _MOMENT}),
    "Queued": _object_schema(_QUEUED),
    "Message": _object_schema({
        **_QUEUED,
        "recipients": _list_schema({"address": _TEXT, "state": _TEXT, "dsn": _TEXT, "relay": _TEXT, "reason": _TEXT}),
    }),
    "Story": _object_schema({
        "queue_id": _TEXT, "sender": _TEXT, "recipients": {"type": "array", "items": _TEXT},
        "moments": _list_schema({"at_us": _MICROSECONDS, "kind": _TEXT, "address": _TEXT, "text": _TEXT}),
    }),
    "Setting": _object_schema({
        "name": _TEXT, "value": _TEXT, "origin": {"type": "string", "enum": ["default", "set", "environment"]},
        "default": _TEXT, "help": _TEXT,
    }),
    "Change": _object_schema({
        "number": _NUMBER, "at_us": _MICROSECONDS, "by": _TEXT, "place": _TEXT, "action": _TEXT, "subject": _TEXT,
        "difference": {"type": "object", "description": "field → [before, after]",
                       "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2}},
        "undoable": _YES_OR_NO,
    }),
    "Access": _object_schema({
        "factors": _list_schema({"kind": _TEXT, "label": _TEXT}),
        "programs": _list_schema({
            "number": _NUMBER, "label": _TEXT, "last_used": _MOMENT | {"type": ["string", "null"]},
        }),
        "tokens": _list_schema({
            "number": _NUMBER, "label": _TEXT, "last_used": _MOMENT | {"type": ["string", "null"]},
        }),
        "sessions": _list_schema({"number": _NUMBER, "agent": _TEXT, "client": _TEXT, "created": _MOMENT}),
    }),
    "Record": _object_schema({
        "name": _TEXT, "kind": _TEXT, "value": _TEXT, "optional": _YES_OR_NO,
        "state": {"type": "string", "enum": ["right", "other", "missing", "unknown"]},
        "found": {"type": "array", "items": _TEXT},
    }),
    "Key": _object_schema(_KEY),
    "Keys": _object_schema({"keys": _list_schema(_KEY)}),
    "Table": _object_schema({"name": _TEXT, "entries": _NUMBER}),
    "Entries": _object_schema({"name": _TEXT, "entries": _list_schema({"key": _TEXT, "value": _TEXT})}),
    "Line": _object_schema({"level": _named_schema("string", "empty for an ordinary line"), "line": _TEXT}),
    "Explanation": _object_schema({
        "accepted": _YES_OR_NO, "reply": _TEXT,
        "steps": _list_schema({"parameter": _TEXT, "restriction": _TEXT, "result": _TEXT}),
        "destination": {"type": ["object", "null"], "description": "address, kind, where, full, children"},
    }),
    "Deleted": _object_schema({"deleted": _TEXT}),
    "Changed": _object_schema({"changed": _TEXT}),
    "Acted": _object_schema({"messages": _named_schema("integer", "number of messages changed")}),
}  # fmt: skip


# The page number; scripts that read to the end find an empty page there.
PAGE: Schema = {"type": "integer", "minimum": 1, "maximum": 10_000, "description": "page number, from 1"}


def query_parameter(description: str, *allowed: str) -> Schema:
    """Return the schema of a query parameter."""
    return {"type": "string", "description": description} | ({"enum": list(allowed)} if allowed else {})


def body_schema(properties: Mapping[str, Any], *required: str) -> Schema:
    shape: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return shape | ({"required": list(required)} if required else {})


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip


def find_schema_errors(schema: Schema, value: object, field: str = "") -> dict[str, str]:
    """Return field → error of a value; implements as much of JSON Schema as the schemas above use."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    matching_kinds = [
        kind for kind in kinds if isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    ]
    if not matching_kinds:
        return {field: f"not of type {' or '.join(kinds)}"}
    if "enum" in schema and value not in schema["enum"]:
        return {field: f"not one of {', '.join(schema['enum'])}"}
    if isinstance(value, str):
        return _find_text_errors(schema, value, field)
    if isinstance(value, int) and not isinstance(value, bool):
        in_range = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return {} if in_range else {field: f"not between {schema['minimum']} and {schema['maximum']}"}
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
            return {field: f"not between {schema.get('minItems', 0)} and {schema['maxItems']} items"}
        return next((found for each in value if (found := find_schema_errors(schema["items"], each, field))), {})
    return _find_object_errors(schema, value, field) if isinstance(value, dict) else {}


def find_query_errors(known: Mapping[str, Schema], query: QueryDict) -> dict[str, str]:
    """Return parameter → error of a query.

    Unknown names are errors, because ignoring a misspelt filter lists everything.
    """
    found: dict[str, str] = {}
    for name, values in query.lists():
        schema = known.get(name)
        if schema is None:
            found[name[:100]] = "unknown parameter"
        elif len(values) > 1:
            found[name] = "given twice"
        elif schema["type"] == "integer" and not (
            values[0].isascii() and values[0].isdecimal() and len(values[0]) < 10
        ):
            found[name] = "not a number"
        else:
            found |= find_schema_errors(schema, int(values[0]) if schema["type"] == "integer" else values[0], name)
    return found


def _find_text_errors(schema: Schema, value: str, field: str) -> dict[str, str]:
    if len(value) > schema.get("maxLength", len(value)):
        return {field: f"longer than {schema['maxLength']} characters"}
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return {field: "not text"}
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return {field: f"not like {schema['pattern']}"}
    return {}


def _find_object_errors(schema: Schema, value: dict[str, object], field: str) -> dict[str, str]:
    found = {name: "is needed" for name in schema.get("required", ()) if name not in value}
    for name, each in value.items():
        if name not in schema["properties"]:
            found[str(name)[:100]] = "unknown field"
        else:
            found |= find_schema_errors(schema["properties"][name], each, name)
    return found
