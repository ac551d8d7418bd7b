"""The search field's query language, and a user's recent and saved searches.

It may import `webmail.values` and the models.
"""
