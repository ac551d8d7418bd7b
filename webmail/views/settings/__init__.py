"""Views of a user's options and mail filters.

They may import the rest of `webmail`.
"""
