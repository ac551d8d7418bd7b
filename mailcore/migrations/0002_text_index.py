"""An index over the texts of messages, for searches in large mailboxes (`store.textindex`). A database that cannot
have one (an SQLite without FTS5, a PostgreSQL whose pg_trgm is not installed, MariaDB) goes on without."""

from contextlib import suppress

from django.db import DatabaseError, migrations, models, transaction

MAKE = {
    "sqlite": [
        "CREATE VIRTUAL TABLE mailcore_textindex USING fts5("
        "text, content='', detail=none, tokenize='trigram case_sensitive 1')",
        "CREATE VIRTUAL TABLE mailcore_textterms USING fts5vocab(mailcore_textindex, instance)",
    ],
    "postgresql": [
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "CREATE INDEX mailcore_textindex ON mailcore_messagetext"
        " USING gin (headers gin_trgm_ops, body gin_trgm_ops) WHERE indexed",
    ],
}
UNMAKE = {
    "sqlite": ["DROP TABLE IF EXISTS mailcore_textterms", "DROP TABLE IF EXISTS mailcore_textindex"],
    "postgresql": ["DROP INDEX IF EXISTS mailcore_textindex"],
}


def make(apps, schema_editor):
    with suppress(DatabaseError), transaction.atomic(schema_editor.connection.alias):
        for statement in MAKE.get(schema_editor.connection.vendor, ()):
            with schema_editor.connection.cursor() as cursor:
                cursor.execute(statement)


def unmake(apps, schema_editor):
    for statement in UNMAKE.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("mailcore", "0001_initial")]

    operations = [
        migrations.AddField("mailbox", "text_indexed_uid", models.PositiveBigIntegerField(db_default=0)),
        migrations.AddField("messagetext", "indexed", models.BooleanField(db_default=False)),
        migrations.RunPython(make, unmake),
    ]
