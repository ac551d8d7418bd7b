"""Values that single extensions of Sieve work on: header fields, parts of a message, scores of filters, lists.

May import `mailcore.wire.message`, and of `mailcore.wire.sieve` only `regex` and `sieve_message`. The commands and
tests themselves stand in `interpreter` and `conditions`.
"""
