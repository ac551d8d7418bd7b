"""Template tags and filters of the webmail; they may import `webmail` and Django."""
