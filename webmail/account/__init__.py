"""The logged-in user: session and credential, options, labels, snoozed messages, push events, POP3 fetch.

It may import `webmail.mailserver`, `webmail.values`, the models, and of `reading` and `sanitize` what POP3 fetch needs.
"""
