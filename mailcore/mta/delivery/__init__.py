"""Delivery of queued messages to local mailboxes, and recovery after a crash.

May import `mailcore.store` and below, and other parts of `mailcore.mta`.
"""
