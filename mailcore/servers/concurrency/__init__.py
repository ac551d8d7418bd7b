"""Concurrency of server processes: the executor, group commit and CPU affinity.

May import `django.db`; nothing else of the project.
"""
