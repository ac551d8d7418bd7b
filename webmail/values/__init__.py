"""Values the views work with, parsed from what servers send and users type.

It may import nothing else of `webmail`; of mailcore `wire`.
"""
