"""The IMAP server (RFC 9051, RFC 3501 and their extensions).

May import other packages of `mailcore.servers`, and `mailcore.store` and below.

imap_server      listens, tracks sessions, passes notifications on
imap_connection  one socket: bytes in, commands out; TLS, compression, flow control
session          one client: its state, its commands one after another, error handling
sequence_view    the selected mailbox as this client knows it: sequence numbers and UIDs
command_table    the command table; each command is a function in `commands`
"""

from mailcore.servers.imap.imap_server import ImapServer

__all__ = ["ImapServer"]
