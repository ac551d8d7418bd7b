"""Mail transfer: acceptance policy, queue, routing, delivery and notices.

May import `mailcore.store` and below. Synchronous; called by servers, tasks and commands.
"""
