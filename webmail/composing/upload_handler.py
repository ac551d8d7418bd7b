"""Upload handler that stops at the size a message may have, before anything more is written to disk.

Django's settings list this handler before its own. It counts the bytes of a post to the compose page as they arrive; a
file that exceeds the limit is dropped from there on, and the page reports it.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousMultipartForm
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from mailcore import conf


class FileRefused(SuspiciousMultipartForm):
    """A file was posted to a page that accepts none; Django answers 400."""


class LimitedUploadHandler(FileUploadHandler):
    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._received = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self._view_name() not in settings.UPLOADS:
            raise FileRefused("file posted to a page that accepts none")
        self._limit = conf.current().message_size_limit * 3 // 4 if self._is_attachment() else 0

    def _view_name(self) -> str:
        match = getattr(self.request, "resolver_match", None)
        return "" if match is None else match.view_name

    def _is_attachment(self) -> bool:
        return self._view_name() == "compose"

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self._received += len(raw_data)
        if self._limit and self._received > self._limit:
            self._received -= start + len(raw_data)
            names = [*getattr(self.request, "files_dropped", ()), self.file_name or ""]
            self.request.files_dropped = names  # type: ignore[union-attr]
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
