"""Views of folders and messages: lists, reading, actions, search, import and export.

They may import the rest of `webmail`.
"""
