"""Acceptance policy: the checks that decide at SMTP time whether a message is accepted.

May import `mailcore.store` and below, and other parts of `mailcore.mta`, but neither delivery nor workers.
"""
