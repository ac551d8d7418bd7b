"""The screens of those who run the mail system (/admin/) and of each account's owner (/account/).

Everything is a plain function view with a form and a template; all of it works without JavaScript.
`permissions` is the one place that says who may do what, and every view asks it. Rows are read here and
written only by functions of `mailcore.store` and `mailcore.mta`.
"""
