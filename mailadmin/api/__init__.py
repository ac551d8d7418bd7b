"""The JSON API under /api/v1/, for scripts: the operations of the pages.

It may import the rest of `mailadmin`; only `mailadmin.urls` of the project imports it.

`operations` is the table of operations: each names the permission it requires and calls the same forms and functions as
the pages. `token_auth` authenticates tokens and turns every error into a problem (RFC 9457); `schemas` describes bodies
and validates them; `openapi` generates OpenAPI 3.1 from the table.
"""
