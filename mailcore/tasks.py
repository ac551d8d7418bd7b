"""Celery's door to `post`: the messages are bells, the rows are the truth."""

from celery import shared_task

from mailcore.post.courier import Courier


@shared_task(ignore_result=True, acks_late=True)
def deliver() -> int:
    """Deliver everything that is due; returns the number of letters moved."""
    return Courier().run_until_idle()
