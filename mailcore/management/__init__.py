"""The base of Postfix-compatible programs and management commands, and code that several of them share.

May import everything in `mailcore`.
"""
