"""Django's configuration of the mailcore app."""

from django.apps import AppConfig


class MailcoreConfig(AppConfig):
    """The Django app `mailcore`; it registers the configuration checks."""

    name = "mailcore"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from mailcore import checks  # noqa: F401  (registers the configuration checks)
