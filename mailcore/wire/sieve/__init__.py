"""Sieve, the language of mail filters (RFC 5228), pure: a script and a message in, actions out.

    grammar      text → the generic tree every script is (§8.2), with line numbers
    language     what commands, tests and tags there are; the tree checked against them
    comparison   comparators, match types, the values :matches finds
    message       a message as tests see it: header fields, addresses, body, envelope
    terms        what a script decides, and what it may ask of its surroundings
    tests, run   the script carried out
    vacation     when an automatic answer is right, and what it looks like (RFC 5230, RFC 3834)

`language.compile_script` once a script, `run.run` once a message. Nothing here reads a mailbox or sends mail:
whoever delivers (`mailcore.mta.delivery.sieve_filter`) does what a `Result` says.
"""
