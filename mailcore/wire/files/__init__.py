"""File formats of other mail programs: mbox, main.cf, lookup tables, aliases, Dovecot's files.

Imports the standard library and `wire` only.
"""
