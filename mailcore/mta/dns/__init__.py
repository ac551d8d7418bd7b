"""DNS lookups for the restrictions, and the check of the domains' own records.

May import `mailcore.store` and below.
"""
