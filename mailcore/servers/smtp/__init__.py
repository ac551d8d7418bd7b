"""The SMTP and LMTP server: `server` listens, `session` speaks, `content` takes letters to the queue."""

from mailcore.servers.smtp.server import SmtpServer

__all__ = ["SmtpServer"]
