"""Secrets that prove an account: password hashes, app passwords, session credentials, API tokens, SCRAM keys.

May import `mailcore.store.db` and `mailcore.store.notify`.
"""
