"""Store SORT's keys in i;unicode-casemap instead of case-folded, and a column for the sizes that POP3 lists."""

from django.db import migrations, models

from mailcore.wire.message.casemap import casemap

_KEYS = ("subject_key", "from_key", "to_key", "cc_key", "from_display", "to_display")
_LENGTH = 255
_BATCH = 500


def convert_keys(apps, schema_editor):
    summaries = apps.get_model("mailcore", "MessageSummary").objects
    changed = []
    for row in summaries.only("pk", *_KEYS).iterator(_BATCH):
        for name in _KEYS:
            setattr(row, name, casemap(getattr(row, name))[:_LENGTH])
        changed.append(row)
        if len(changed) == _BATCH:
            summaries.bulk_update(changed, _KEYS)
            changed.clear()
    summaries.bulk_update(changed, _KEYS)


class Migration(migrations.Migration):
    dependencies = [("mailcore", "0005_message_words")]

    operations = [
        migrations.AddField("message", "line_end_growth", models.PositiveIntegerField(null=True)),
        migrations.RunPython(convert_keys, migrations.RunPython.noop),
    ]
