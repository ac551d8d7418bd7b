"""The Celery application: `celery -A mailcore worker` delivers, on any number of machines (with REDIS_URL).

Workers share the database and the data folder with the servers, whose `runmailserver` wakes them.
"""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailcore.settings")

app = Celery("mailcore")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Wake-ups need no acknowledgement; with unacknowledged ones a worker does not survive the loss of Redis (kombu 5).
app.conf.task_queues = [Queue("youju", no_ack=True)]
app.conf.task_default_queue = "youju"
app.conf.worker_enable_remote_control = False
app.autodiscover_tasks(["mailcore"])


def load_transport() -> None:
    """Import the transport of the broker without connecting; raise ImportError or KeyError if there is none."""
    app.connection_for_write().get_transport_cls()
