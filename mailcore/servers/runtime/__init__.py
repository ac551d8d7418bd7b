"""The processes of `runmailserver`: supervisor, server and web processes, and what they share.

May import all of `mailcore.servers`, `mailcore.mta` and below.
"""
