"""Settings in the database besides the directory: parameters, lookup tables and DKIM keys.

May import `mailcore.store.credentials`, `mailcore.store.db` and `mailcore.store.notify`.
"""
