"""Ways to an account's mail besides IMAP's commands: POP3, Sieve scripts, URLs, and the mail directory itself.

May import `mailcore.store.mailbox` and what that may import.
"""
