"""The mail system without its screens; a message flows one way, and each folder holds one kind of code.

wire        bytes ⇄ values: grammar of SMTP, IMAP, POP3; MIME; no Django, no sockets
values      the values that packages exchange
models      the database tables
conf        every parameter, under Postfix's name
store       accounts, mailboxes, messages, Maildirs, search
mta         policy, queue, routing, delivery, bounces
servers     asyncio servers for SMTP, IMAP, POP3 and ManageSieve; `tasks` starts deliveries from Celery
management  the programs an administrator runs

Imports go one way: wire, values ← models ← conf ← store ← mta ← tasks, servers ← management.
"""

VERSION = "0.1.0"  # of the whole project, as in pyproject.toml
