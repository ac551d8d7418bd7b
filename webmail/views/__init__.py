"""Views of the webmail, one module per page: read the request, query the mail server, render a template.

They may import the rest of `webmail`; nothing imports them but `webmail.urls` and the settings.
"""
