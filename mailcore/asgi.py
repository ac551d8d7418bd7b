"""The web application as uvicorn serves it: Django's pages behind a bridge from ASGI to WSGI, and beside
them the streams of news, which live in the event loop."""

from typing import Any

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.utils.module_loading import import_string

from mailcore import conf
from mailcore.wsgi import application as pages

_pages = WSGIMiddleware(pages, workers=conf.current().web_threads, send_queue_size=4)
_events = import_string(settings.WEBMAIL["EVENTS"])
EVENTS = "/events"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == EVENTS:
        await _events(scope, receive, send)
    else:
        await _pages(scope, receive, send)
