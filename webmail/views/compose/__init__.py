"""Views for writing and sending: compose page, identities, canned responses, address book.

They may import the rest of `webmail`.
"""
