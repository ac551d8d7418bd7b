"""Messages and lists as pages show them: content, rows, sender checks, receipts, import and export.

It may import the rest of `webmail` except `composing`, `filtering` and `views`.
"""
