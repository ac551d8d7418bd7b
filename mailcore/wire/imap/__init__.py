"""IMAP's grammar without sockets (RFC 9051, RFC 3501 and their extensions): bytes ⇄ values.

framing    a stream of bytes → commands and literals
cursor     reading one command's arguments
sequence   sets of numbers
names      mailbox names and LIST patterns
select     what SELECT is asked besides the name
fetch      what FETCH asks for
url        messages and parts by URL
metadata   what GETMETADATA and SETMETADATA ask for
scope      sets of mailboxes
notify     what NOTIFY asks for
search     what SEARCH, SORT and THREAD ask for
render     how responses are spelled
"""
