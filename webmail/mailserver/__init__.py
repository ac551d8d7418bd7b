"""Clients of the mail servers: IMAP, SMTP submission, ManageSieve, and the pool of IMAP connections.

Of `webmail` it may import only `values`.
"""
