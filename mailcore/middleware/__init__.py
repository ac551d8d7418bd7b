"""Django middleware: content security policy, caching, forwarded client addresses, NUL, and languages.

It imports nothing else of `mailcore`.
"""
