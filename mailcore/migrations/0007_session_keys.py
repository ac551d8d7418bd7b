"""Replaces the keys of web sessions by their hashes."""

from django.db import migrations

from mailcore.store.auth.web_session_store import stored_key


def hash_keys(apps, schema_editor):  # type: ignore[no-untyped-def]
    Session = apps.get_model("sessions", "Session")
    keys = list(Session.objects.values_list("session_key", flat=True))
    for key in keys:
        Session.objects.filter(session_key=key).update(session_key=stored_key(key))


class Migration(migrations.Migration):
    dependencies = [("mailcore", "0006_sort_keys"), ("sessions", "0001_initial")]
    operations = [migrations.RunPython(hash_keys, migrations.RunPython.noop)]
