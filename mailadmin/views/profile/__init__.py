"""Views of an account's own pages: profile, password, second factor, sessions, API tokens.

They may import the rest of `mailadmin` except `api`, and mailcore below `servers`.
"""
