"""Mailboxes and their messages, as IMAP sees them: list, insert, search, change, copy and expunge.

May import `mailcore.store.db`, `mailcore.store.maildir` and `mailcore.store.notify`.
"""
