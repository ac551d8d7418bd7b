"""Mail filters: rules as a Sieve script, and rules applied to existing messages.

It may import `webmail.mailserver`, `webmail.values` and mailcore's Sieve syntax.
"""
