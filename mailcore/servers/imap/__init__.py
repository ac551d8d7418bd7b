"""The IMAP server (RFC 9051, RFC 3501 and their extensions).

server       listens, keeps the connections, passes news on
connection   one socket: bytes in, commands out; TLS, compression, flow control
session      one client: its state, its commands one after another, the one funnel for faults
view         the selected mailbox as this client knows it: sequence numbers and UIDs
table        the commands as data; each is one function in `commands`
"""

from mailcore.servers.imap.imap_server import ImapServer

__all__ = ["ImapServer"]
