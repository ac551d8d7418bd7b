"""Configuration checks (`manage.py check`)."""
