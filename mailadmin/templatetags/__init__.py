"""Template tags and filters of the administration; they may import `mailadmin` and mailcore's models and conf."""
