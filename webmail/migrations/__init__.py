"""Database migrations of the webmail's models."""
