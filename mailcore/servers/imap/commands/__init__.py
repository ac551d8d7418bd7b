"""The IMAP commands: one function per command.

May import other packages of `mailcore.servers`, and `mailcore.store` and below. A command parses its arguments,
checks them, calls the store, writes untagged responses and returns the tagged one.
"""
