"""Notifications between processes, on one machine through sockets and between machines through Redis.

May import `mailcore.store.processes`, `mailcore.rate_counters` and `mailcore.logs`.
"""
