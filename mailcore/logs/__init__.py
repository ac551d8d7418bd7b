"""The mail log: a writer for every process and a reader for the screens and programs.

May import `mailcore.conf` and `mailcore.values` only.
"""
