"""The web application as uvicorn serves it: Django's pages behind a bridge from ASGI to WSGI."""

from a2wsgi import WSGIMiddleware

from mailcore import conf
from mailcore.wsgi import application as pages

application = WSGIMiddleware(pages, workers=conf.current().web_threads, send_queue_size=4)
