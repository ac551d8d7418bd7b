"""Message traces and statistics, read from the queue's rows, the events and the mail log.

May import `mailcore.store` and below, and `mailcore.mta.queue`.
"""
