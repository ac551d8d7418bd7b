"""Connections and listeners: line streams, TLS, the PROXY protocol, limits for unauthenticated clients.

May import `mailcore.servers.concurrency`, `mailcore.mta.policy`, `mailcore.store` and below.
"""
