"""The screens' operations as JSON under /api/v1/, for scripts.

`operations` is the table of all there is: each names what it needs of the visitor's permissions and calls the same forms and
functions as the screens. `door` lets tokens in and turns every refusal into a problem (RFC 9457), `shapes` says what
bodies look like and checks them, `description` is OpenAPI 3.1, made from the table.
"""
