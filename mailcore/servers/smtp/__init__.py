"""The SMTP and LMTP server.

May import other packages of `mailcore.servers`, `mailcore.mta` and below. `smtp_server` listens, `session` is one
connection, `commands` and `transaction` execute its commands, `receive` and `committer` enqueue messages.
"""

from mailcore.servers.smtp.smtp_server import SmtpServer

__all__ = ["SmtpServer"]
