"""Celery's door to `post`: the messages are bells, the rows are the truth."""

from celery import shared_task

from mailcore import conf
from mailcore.post.courier import Courier
from mailcore.store import directory


@shared_task(ignore_result=True)
def deliver() -> int:
    """Deliver everything that is due; returns the number of letters moved. A worker that is killed meanwhile needs
    no second message: what it held is found by whoever looks next."""
    conf.refresh()
    directory.forget()
    return Courier().run_until_idle()
