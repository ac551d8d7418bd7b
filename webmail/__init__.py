"""The webmail: an IMAP, SMTP and Sieve client in the browser, for this server or any other.

Of mailcore it may import only `wire` and `conf`; of mailadmin nothing.

    account         the user's session and encrypted credential, options, labels, notifications, POP3 fetch
    mailserver      IMAP, SMTP and ManageSieve clients, the pool of open connections, pipelining
    values          what the servers send, as values a page can show: folders, summaries, parts, addresses
    sanitize        HTML, CSS and plain text made safe to show; HTTP requests that are safe from SSRF
    reading         a message and a list as a page shows them; sender checks, receipts, import and export
    composing       drafts and uploads, identities, the message as bytes
    searching       the search field's query language; saved searches
    filtering       Sieve rules as pages show them; rules applied to existing messages
    address_book    contacts, and as vCard and CSV files
    views           one module per page, function views
"""
