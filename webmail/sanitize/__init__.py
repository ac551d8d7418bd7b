"""Untrusted HTML, CSS and text made safe to show, and HTTP requests safe from SSRF.

Of `webmail` it may import the models and `mailserver.server_addresses`; of mailcore `conf`.
"""
