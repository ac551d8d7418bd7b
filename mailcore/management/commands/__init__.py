"""The programs: Postfix's (postconf, postqueue, sendmail, …) and this system's own.

May import everything in `mailcore`.
"""
