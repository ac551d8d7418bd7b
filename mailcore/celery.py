"""The Celery application: `celery -A mailcore worker` delivers, on as many machines as there are (with REDIS_URL).
They share the database and the data folder with the servers, whose `runmailserver` rings for them."""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailcore.settings")

app = Celery("mailcore")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Bells need no acknowledgement; a worker that has some open when Redis goes does not survive it (kombu 5).
app.conf.task_queues = [Queue("youju", no_ack=True)]
app.conf.task_default_queue = "youju"
app.conf.worker_enable_remote_control = False
app.autodiscover_tasks(["mailcore"])


def load_transport() -> None:
    """Import what speaks with the broker, without asking it. ImportError, KeyError: that cannot be done."""
    app.connection_for_write().get_transport_cls()
