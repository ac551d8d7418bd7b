"""Text in any charset and language: decoding, folding, sorting.

Imports the standard library and `wire` only.
"""
