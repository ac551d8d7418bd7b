"""The Celery application: `celery -A mailcore.celery worker --beat` delivers on any machine."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailcore.settings")

app = Celery("mailcore")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["mailcore"])
