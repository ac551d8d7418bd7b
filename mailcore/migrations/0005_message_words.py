"""Rename fields and stored values that were named after letters."""

from django.db import migrations, models


def rename_audit_values(apps, schema_editor):
    """Rename keys and subjects in the audit's stored differences."""
    change = apps.get_model("mailcore", "Change")
    for row in change.objects.filter(action__in=("queue.act", "account.look")).iterator():
        difference = {"messages" if key == "letters" else key: value for key, value in row.difference.items()}
        if "what" in difference:
            difference["what"] = [
                "message:" + each.removeprefix("letter:") if isinstance(each, str) and each.startswith("letter:") else each
                for each in difference["what"]
            ]
        if difference != row.difference:
            change.objects.filter(pk=row.pk).update(difference=difference)


class Migration(migrations.Migration):
    dependencies = [("mailcore", "0004_target_kinds")]

    operations = [
        migrations.RenameField("recipient", "letter", "queued"),
        # The constraint's columns are what they were: only the model's state has another field name.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("recipient", "recipient_once_in_letter"),
                migrations.AddConstraint(
                    "recipient",
                    models.UniqueConstraint(
                        name="recipient_once_in_letter", fields=["queued", "address", "original", "final"]
                    ),
                ),
            ]
        ),
        migrations.RenameField("traffic", "letters", "messages"),
        migrations.RunPython(rename_audit_values, migrations.RunPython.noop),
    ]
