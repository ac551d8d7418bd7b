"""Pictures that a message wants from the network: fetched by us, so that their host never meets the reader.

`address` is what the HTML gate writes in their place: a signed address of ours. It carries no cookie (the
message's frame is sandboxed and gets none), so the signature alone says that a page of ours asked for it.
Which senders' pictures a reader always wants is remembered here as well.
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
    """Where on this site the picture at `url` can be had for VALID_FOR seconds."""
    return reverse("picture", args=[_signer.sign_object(url)])


def fetch_image(token: str) -> tuple[bytes, str]:
    """(bytes, media type) of the picture an `address` names. Raises outside.NotFetched, outside.Busy."""
    try:
        url = _signer.unsign_object(token, max_age=LINK_LIFETIME)
    except (BadSignature, ValueError) as error:
        raise safe_http.FetchError("not signed by us, or too long ago") from error
    answer = safe_http.safe_get(str(url))
    kind = image_type(answer.content)
    if answer.status != 200 or kind is None:
        raise safe_http.FetchError("no picture")
    return answer.content, kind


def image_type(content: bytes) -> str | None:
    """The media type of a raster image by its first bytes, whatever its server calls it; else None."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for first, kind in _SIGNATURES if content.startswith(first)), None)


def is_always_shown(owner: str, sender: str) -> bool:
    return bool(sender) and PictureSender.objects.filter(owner=owner, sender=sender.casefold()).exists()


def always_show(owner: str, sender: str, *, wanted: bool) -> None:
    """Remember, or forget, that pictures of this sender are always loaded."""
    if wanted:
        PictureSender.objects.get_or_create(owner=owner, sender=sender.casefold())
    else:
        PictureSender.objects.filter(owner=owner, sender=sender.casefold()).delete()
