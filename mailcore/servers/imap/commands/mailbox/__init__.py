"""IMAP commands on mailboxes.

May import other packages of `mailcore.servers`, and `mailcore.store` and below.
"""
