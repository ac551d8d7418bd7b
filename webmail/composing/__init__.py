"""Messages being written: drafts and uploads, identities, the message as bytes.

It may import the rest of `webmail` except `filtering` and `views`.
"""
