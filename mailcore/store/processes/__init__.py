"""Names of processes and of their sockets, and locks between processes.

May import `mailcore.logs` only.
"""
