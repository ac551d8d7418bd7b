"""The mail system without its screens. A message flows one way; each folder is one kind of code.

    wire     bytes ⇄ values: grammar of SMTP, IMAP, POP3; MIME; no Django, no sockets
    terms    the values that cross rooms
    models   the tables
    conf     every parameter, under Postfix's name
    store    messages at rest: accounts, mailboxes, messages, Maildirs, search
    post     messages on the way: accept, intake, queue, route, deliver, bounce
    servers  asyncio sockets that speak SMTP, IMAP and POP3; tasks is Celery's door to post
    management  the programs an administrator runs

Import law: wire, terms ← models ← conf ← store ← post ← tasks, servers ← management.
"""
