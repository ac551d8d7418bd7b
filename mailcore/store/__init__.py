"""Accounts, mailboxes, messages and settings in the database and on the disk.

May import `mailcore.conf`, `mailcore.models`, `mailcore.wire`, `mailcore.values`, `mailcore.rate_counters` and
`mailcore.logs`; never `mailcore.mta` or `mailcore.servers`, which call it.
"""
