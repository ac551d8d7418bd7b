"""Proxy for remote images in messages, so that their hosts do not see the reader.

`proxy_address` is the URL the HTML sanitizer writes in place of the image's own. The request for it carries no cookie
(the message's frame is sandboxed), so the signature is the only proof that one of our pages asked for it. This module
also records the senders whose images a user always shows.
"""

from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

from webmail.models import PictureSender
from webmail.sanitize import safe_http

LINK_LIFETIME = 3600  # seconds
_signer = TimestampSigner(salt="webmail.picture")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


def proxy_address(url: str) -> str:
    """Return the URL on this site that serves the image at `url` for LINK_LIFETIME seconds."""
    return reverse("picture", args=[_signer.sign_object(url)])


def fetch_image(token: str) -> tuple[bytes, str]:
    """Return (data, media type) of the image a `proxy_address` token names.

    Raise `safe_http.FetchError` or `safe_http.ServerBusy`.
    """
    try:
        url = _signer.unsign_object(token, max_age=LINK_LIFETIME)
    except (BadSignature, ValueError) as error:
        raise safe_http.FetchError("invalid or expired signature") from error
    answer = safe_http.safe_get(str(url))
    kind = image_type(answer.content)
    if answer.status != 200 or kind is None:
        raise safe_http.FetchError("not an image")
    return answer.content, kind


def image_type(content: bytes) -> str | None:
    """Return the media type of a raster image by its first bytes, whatever its server declares, or None."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for first, kind in _SIGNATURES if content.startswith(first)), None)


def is_always_shown(owner: str, sender: str) -> bool:
    return bool(sender) and PictureSender.objects.filter(owner=owner, sender=sender.casefold()).exists()


def always_show(owner: str, sender: str, *, shown: bool) -> None:
    """Record whether images of this sender are always shown."""
    if shown:
        PictureSender.objects.get_or_create(owner=owner, sender=sender.casefold())
    else:
        PictureSender.objects.filter(owner=owner, sender=sender.casefold()).delete()
