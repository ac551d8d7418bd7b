"""Template tags that the webmail and the administration share."""
