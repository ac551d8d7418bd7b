"""The webmail: a guest at any IMAP and SMTP server, ours or another's.

    visitor    who is signed in here, and the sealed credential the mail servers are shown
    imap       the IMAP server seen as folders, rows and parts (the only importer of imapclient)
    pool       connections kept open between two pages of the same visitor
    smtp       handing a letter over
    folders, rows, parts, words, addresses     what the servers say, as values a page can show
    gate, styles, plain                        HTML and text of strangers made safe
    unsubscribe                                leaving a list as its letters offer
    contacts, cards                            the address book, and as files
    outside, pictures                          what lies at other hosts, fetched for a reader
    writing, uploads, models                   letters being written, and what is kept of a visitor
    pages/     one module per page, function views

Import law: of mailcore only `wire` and `conf`; nothing of mailadmin.
"""
