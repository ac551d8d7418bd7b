"""Django middleware: content security policy, caching, forwarded client addresses, and the language of a request.

It imports nothing else of `mailcore`.
"""
