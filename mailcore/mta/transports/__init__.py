"""Transports: delivery to other hosts, commands, files and foreign Maildirs.

May import `mailcore.store` and below, and other parts of `mailcore.mta`, but neither delivery nor workers.
"""
