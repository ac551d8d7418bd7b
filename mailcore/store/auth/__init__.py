"""Log-in: passwords, second factors, tokens, and the throttling of failed attempts.

May import `mailcore.store.credentials`, `mailcore.store.directory`, `mailcore.store.db` and `mailcore.store.notify`.
"""
