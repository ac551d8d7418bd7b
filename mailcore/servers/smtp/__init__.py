"""The SMTP and LMTP server: `server` listens, `session` speaks, `content` takes messages to the queue."""

from mailcore.servers.smtp.smtp_server import SmtpServer

__all__ = ["SmtpServer"]
