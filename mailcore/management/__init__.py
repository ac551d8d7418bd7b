"""What Postfix-compatible programs and management commands share.

May import everything in `mailcore`.
"""
