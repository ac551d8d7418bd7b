"""Store the kind of an alias's target beside its text, which quotes marked before (`Alias.special`, `Recipient.kind`).

Commands, files and includes from an aliases file keep working. One that was entered by hand is kept as "unconfirmed" and
never run, until its aliases file is read again (`postalias`). Recipients in the queue for a confirmed command or file
still reach it; others are rejected as unknown.
"""

from django.db import migrations, models

_KINDS = {'"|': "command", '"/': "file", '":include:': "include"}


def _kind(text):
    if len(text) < 3 or text[-1] != '"':
        return ""
    return next((kind for start, kind in _KINDS.items() if text.startswith(start)), "")


def _written_by_hand(changes, address):
    """Return the targets that recorded changes added to this alias."""
    found = set()
    rows = changes.filter(subject=address, action__in=("alias.create", "alias.change"))
    for difference in rows.values_list("difference", flat=True):
        before, after = difference.get("targets") or (None, None)
        found.update(set(after or ()) - set(before or ()))
    return found


def store_kinds(apps, schema_editor):
    alias_model, changes = apps.get_model("mailcore", "Alias"), apps.get_model("mailcore", "Change").objects
    confirmed = {}
    for row in alias_model.objects.iterator():
        kinds = {text: kind for text in row.targets if (kind := _kind(text))}
        if not kinds:
            continue
        by_hand = _written_by_hand(changes, row.address) if row.source else set(kinds)
        row.special = {text: "unconfirmed" if text in by_hand else kind for text, kind in kinds.items()}
        row.save(update_fields=["special"])
        confirmed.update({text: kind for text, kind in row.special.items() if kind in ("command", "file")})
    waiting = apps.get_model("mailcore", "Recipient").objects.filter(state="waiting", final=True)
    for text, kind in confirmed.items():
        waiting.filter(address=text).update(kind=kind)


class Migration(migrations.Migration):
    dependencies = [("mailcore", "0003_queue_ids_and_checksums")]

    operations = [
        migrations.AddField("alias", "special", models.JSONField(blank=True, default=dict)),
        migrations.AddField(
            "recipient", "kind", models.CharField(blank=True, db_default="", default="", max_length=12)
        ),
        migrations.RunPython(store_kinds, migrations.RunPython.noop),
    ]
