"""Every Content-Security-Policy (level 3) that this site sends."""

# Pages load this site's own files only.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; media-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
# Pages of the administration stand in no frame; their charts are drawn by style attributes.
ADMIN_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# The HTML of a message, in a sandboxed frame: it runs nothing and loads only what the sanitizer let stand.
MESSAGE_FRAME = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
# A file of a message. A browser's built-in PDF viewer does not run in a sandbox.
PDF_FILE = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
FILE = f"sandbox; {PDF_FILE}"
