"""Message files on the disk: Maildir++ folders, durability, and write-behind of small messages.

May import `mailcore.store.db` and `mailcore.store.processes`.
"""
