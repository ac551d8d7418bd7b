"""IMAP commands on messages.

May import other packages of `mailcore.servers`, and `mailcore.store` and below.
"""
