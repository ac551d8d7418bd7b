"""The message queue: content files, rows and states of accepted messages.

May import `mailcore.store` and below, and `mailcore.mta.routing`.
"""
