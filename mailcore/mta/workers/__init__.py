"""Delivery workers: couriers, their Celery trigger, lease renewal and housekeeping.

May import `mailcore.store` and below, and all of `mailcore.mta`.
"""
