"""Statements about a message's sender: DKIM signatures and Authentication-Results.

Imports the standard library and `wire` only.
"""
