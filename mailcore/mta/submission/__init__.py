"""Submission of messages by programs on this host.

May import `mailcore.store` and below, `mailcore.mta.queue` and `mailcore.mta.routing`.
"""
