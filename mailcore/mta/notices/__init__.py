"""Messages of the mail system itself: bounces, delay warnings, and notices to owners of accounts.

May import `mailcore.store` and below, and `mailcore.mta.queue`.
"""
