"""Views of the administration and of each account's own pages.

They may import the rest of `mailadmin` except `api`, and mailcore below `servers`.
"""
