"""The SMTP client, Postfix's smtp(8): delivers messages to other hosts.

May import `mailcore.store` and below, and other parts of `mailcore.mta`. Nothing here uses the database on the event
loop: jobs come with all they need, results go back to the courier.

    job           the recipients of one message that share a next hop
    mx            the hosts of a next hop (RFC 5321 §5, RFC 7505)
    tls_policy    TLS: what a destination requires, and certificate checks
    dkim_sign     DKIM signatures
    stream        a socket as a stream of lines
    session       one connection: greeting, EHLO, STARTTLS, AUTH
    send_message  one message over a session, pipelined
    attempt       one delivery attempt: session after session, host after host
    destination   all jobs of one next hop: concurrency, connection cache, back-off
    dispatcher    the event loop beside the courier
"""
