"""Grammars of IMAP commands whose arguments need one: FETCH, LIST, SEARCH, NOTIFY, ACL, METADATA, SELECT.

Imports the standard library and `wire` only.
"""
