"""The POP3 server.

May import other packages of `mailcore.servers`, and `mailcore.store` and below.
"""
