"""Network servers: SMTP, LMTP, IMAP, POP3, ManageSieve and the processes that run them.

May import `mailcore.mta`, `mailcore.store` and below, but not `mailcore.models`.
"""
