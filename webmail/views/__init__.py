"""The pages, one module each: read the request, ask the mail server, show a template."""
