"""The grammar of IMAP without sockets (RFC 9051, RFC 3501 and extensions): bytes to values and back.

framing          a stream of bytes → commands and literals
cursor           the arguments of one command
syntax/          the arguments of each command that has a grammar of its own
sequence_set     sets of numbers
mailbox_names    encoding of mailbox names
list_pattern     LIST patterns
imap_url         URLs of messages and parts
response_format  strings, flags and dates in responses

Imports the standard library and `wire` only.
"""
