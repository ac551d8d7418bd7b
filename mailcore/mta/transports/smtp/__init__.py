"""The SMTP client, Postfix's smtp(8): messages to other hosts.

    job          what it is given: the recipients of one message that share a next hop
    hosts        where a next hop is (RFC 5321 §5, RFC 7505)
    policy       TLS: what is asked of a destination, and whether a certificate fulfils it
    lines        a socket as lines
    session      one conversation: greeting, EHLO, STARTTLS, AUTH
    message       one message over a session, pipelined
    attempt      one delivery attempt: session after session, host after host
    destination  everybody waiting for one next hop: concurrency, connection cache, back-off
    dispatch     the event loop beside the courier

Nothing here touches the database: jobs come with all they need, outcomes go back to the courier.
"""
