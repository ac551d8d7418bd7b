"""Setting up a site: import from Postfix, SQL views for other programs, accounts of the demo.

May import everything in `mailcore.store`.
"""
