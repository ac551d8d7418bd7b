"""Routing: alias expansion, local accounts and next hops.

May import `mailcore.store` and below.
"""
