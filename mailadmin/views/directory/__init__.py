"""Views of domains, accounts and aliases, their CSV files and DNS records.

They may import the rest of `mailadmin` except `api`, and mailcore below `servers`.
"""
