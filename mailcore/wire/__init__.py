"""Grammars of mail: bytes to values and back, without sockets, database or clock.

Imports the standard library only. Everything here takes linear time and never raises but for its own errors.
"""
