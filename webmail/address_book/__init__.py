"""Contacts, groups and the domain's shared address book; contacts as vCard and CSV files.

It may import the models, `webmail.values` and `webmail.mailserver.server_addresses`.
"""
