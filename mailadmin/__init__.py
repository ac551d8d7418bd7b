"""The web administration (/admin/), each account's own pages (/account/) and the JSON API (/api/).

It may import mailcore below `servers`, and nothing of `webmail`.

Every page is a function view with a form and a template and works without JavaScript. `permissions` alone decides what
an account may see and change, and every view uses it. Rows are read here and written only by functions of
`mailcore.store` and `mailcore.mta`.
"""
