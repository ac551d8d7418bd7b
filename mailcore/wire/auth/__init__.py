"""Authentication mechanisms without a server: SASL, SASLprep, one-time codes.

Imports the standard library and `wire` only.
"""
