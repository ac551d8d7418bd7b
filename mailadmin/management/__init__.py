"""Command-line programs for domains, accounts and aliases; they may import the rest of `mailadmin`."""
