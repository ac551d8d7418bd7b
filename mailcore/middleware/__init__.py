"""Django middleware: content security policy, forwarded client addresses, and the language of a request.

It imports nothing else of `mailcore`.
"""
