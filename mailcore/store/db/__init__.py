"""Access to the database below the ORM, and the tables that every change writes: audit log and event log.

May import `mailcore.models`, `mailcore.conf` and `mailcore.logs`; the event log also takes mailbox handles.
"""
