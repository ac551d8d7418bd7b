"""The mail filter language Sieve (RFC 5228): a script and a message in, actions out.

script_parser   text → the generic tree of a script (§8.2), with line numbers
compiler        commands, tests and tags; the tree checked against them
comparison      comparators, match types, captures of :matches
regex/          regular expressions without backtracking
variable_names  ${name}, and which names there are
sieve_message   header fields, addresses, body and envelope of a message
results         the result of a run, and the environment a script may query
conditions, interpreter   execution
vacation        the automatic reply (RFC 5230, RFC 3834)

Call `compiler.compile_script` once a script and `interpreter.run_script` once a message. Nothing here reads a mailbox
or sends mail: `mailcore.mta.delivery.sieve_filter` carries out the SieveResult. Imports the standard library and `wire`
only.
"""
