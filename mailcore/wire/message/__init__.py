"""Messages and their envelopes as bytes: headers, MIME, addresses, dates, notices (RFC 5322, RFC 2045).

Pure functions over bytes and text; imports the standard library and `wire` only.
"""
