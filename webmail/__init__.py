"""The webmail: a guest at any IMAP and SMTP server, ours or another's.

    visitor    who is signed in here, and the sealed credential the mail servers are shown
    imap       the IMAP server seen as folders, rows and parts; below it mailboxes and changing
    journey    its commands and answers (these two alone import imapclient)
    pool       connections kept open between two pages of the same visitor
    criteria, query                            what is asked of messages: for the server, and as it is typed
    threads, conversations                     who answers whom, in a folder and over all of them
    listing, moments, sizes                    the rows of a list as HTML
    labels, label_options, highlights          keywords with names and colours; rules that colour a list
    events, snoozing                           news for open pages; messages put off
    security, receipts                         what to know of a sender; telling him that he was read
    searches, transfer                         searches kept; messages as files
    smtp       handing a message over
    folders, rows, parts, words, addresses     what the servers say, as values a page can show
    gate, styles, plain                        HTML and text of strangers made safe
    unsubscribe                                leaving a list as its messages offer
    contacts, cards                            the address book, and as files
    outside, pictures, fetching                what lies at other hosts, fetched for a reader
    identities, writing                        whom one writes as; a message as bytes
    uploading, uploads, models                 messages being written, and what is kept of a visitor
    sieve, rules, hindsight                    filters: the server that keeps them, as pages show them, applied late
    pages/     one module per page, function views

Import law: of mailcore only `wire` and `conf`; nothing of mailadmin.
"""
