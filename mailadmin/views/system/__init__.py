"""Views of parameters, lookup tables and the audit log.

They may import the rest of `mailadmin` except `api`, and mailcore below `servers`.
"""
