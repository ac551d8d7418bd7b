"""A domain administrator tries to make an alias run a command, write a file or read one: by every way in."""

import importlib
import json
import time
from pathlib import Path

import pytest
from django.apps import apps
from django.test import Client as Browser
from django.urls import reverse

from mailcore.conf import caches
from mailcore.models import Alias, Recipient
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from mailcore.store.credentials import api_tokens
from mailcore.store.directory import DirectoryError, alias_files
from mailcore.store.setup import postfix_import
from mailcore.values import Client, MessageRecipient
from mailcore.wire.files import table_files

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tmp_path")]

STRANGER = Client("192.0.2.7", "mail.other.example", "mail.other.example", "ESMTP")


@pytest.fixture
def spellings(tmp_path: Path) -> list[str]:
    """A command, a file, a directory and a list to include, with any quoting."""
    touch, box, members = f"/usr/bin/touch {tmp_path}/ran", f"{tmp_path}/box", tmp_path / "members"
    members.write_text("lisi@benet.com\n")
    found = []
    for inner in (
        f"|{touch}",
        f"|{touch} #@x",
        f"{box}",
        f"{box}/",
        f"{box}@x",
        f":include:{members}",
        f":include:{members}@x",
    ):
        escaped = inner.replace('"', '\\"')
        found += [
            inner, f'"{escaped}"', f'"\\"{escaped}\\""', f'"\\"{escaped}\\""@accp.com', f'"{escaped}"@accp.com',
            f'<"{escaped}">', f"x <{escaped}>", f'"\\\\"{escaped}\\\\""', f'@accp.com:"{escaped}"',
        ]  # fmt: skip
    return found


@pytest.fixture(autouse=True)
def allowed(parameters) -> None:
    parameters(
        myhostname="mail.accp.com", mydomain="accp.com", allow_mail_to_commands="alias", allow_mail_to_files="alias"
    )


def deliver(address: str) -> None:
    content_files.make_directories()
    content = b"Subject: s\r\n\r\nbody\r\n"
    recipients = [MessageRecipient(address)]
    enqueue.write_and_enqueue(content, "dora@accp.com", recipients, STRANGER, int(time.time() * 1_000_000))
    Courier().run_until_idle()


def assert_nothing_ran(tmp_path: Path) -> None:
    for row in Alias.objects.filter(domain__name="accp.com"):
        assert not row.special, row.targets
        deliver(row.address)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "box").exists()
    assert not Recipient.objects.exclude(kind="").exists()
    assert not Recipient.objects.filter(address="lisi@benet.com").exists()


def test_by_the_api(office, spellings, tmp_path):
    token = api_tokens.create_token(office.dora.pk, "test", writes=True, expires=None)
    browser = Browser(headers={"authorization": f"Bearer {token}"})
    for number, target in enumerate(spellings):
        for targets in ([target], ["wang@accp.com", target]):
            body = json.dumps({"address": f"a{number}-{len(targets)}@accp.com", "targets": targets})
            browser.post("/api/v1/aliases", body, content_type="application/json")
            body = json.dumps({"targets": targets})
            browser.patch("/api/v1/aliases/all@accp.com", body, content_type="application/json")
    assert_nothing_ran(tmp_path)


def test_by_the_screen(office, visit, spellings, tmp_path):
    dora = visit("dora")
    row = Alias.objects.get(address="all@accp.com")
    for number, target in enumerate(spellings):
        data = {"local_part": f"a{number}", "domain": "accp.com", "targets": target, "active": "on"}
        dora.post("/admin/aliases/new", data)
        dora.post(f"/admin/aliases/{row.pk}", data)
    assert_nothing_ran(tmp_path)


def test_by_the_text(office, visit, spellings, tmp_path):
    dora = visit("dora")
    for number, target in enumerate(spellings):
        text = f"a{number}: wang, {target}\nall: {target}\n"
        dora.post("/admin/aliases/text", {"domain": "accp.com", "text": text, "save": "1"})
    assert_nothing_ran(tmp_path)


def test_by_csv(office, visit, spellings, tmp_path):
    dora = visit("dora")
    for number, target in enumerate(spellings):
        quoted = target.replace('"', '""')
        text = f'address,targets,active\na{number}@accp.com,"{quoted}",yes\nb{number}@accp.com,"wang,{quoted}",yes\n'
        assert (
            dora.post(reverse("mailadmin:import", args=["aliases"]), {"text": text, "import": "1"}).status_code == 200
        )
    assert_nothing_ran(tmp_path)


def test_by_a_virtual_table(office, spellings, tmp_path):
    postfix_import.import_text(
        "virtual", "".join(f"a{n}@accp.com {target}\n" for n, target in enumerate(spellings)), really=True
    )
    assert_nothing_ran(tmp_path)


def test_one_that_an_aliases_file_named_runs_and_stays_when_the_alias_is_edited(office, visit, tmp_path):
    command = f"|/usr/bin/touch {tmp_path}/ran"
    alias_files.add_aliases("/etc/aliases", {"robot": (table_files.parse_target(f'"{command}"'),)}, overwrite=True)
    row = Alias.objects.get(local_part="robot")
    directory.change_alias(row.pk, list(row.targets), active=True, comment="seen")
    deliver(row.address)
    assert (tmp_path / "ran").exists()
    with pytest.raises(DirectoryError):
        directory.change_alias(row.pk, [*row.targets, '"|/bin/other"'])
    directory.change_alias(row.pk, ["wang@accp.com"])
    with pytest.raises(DirectoryError):
        directory.change_alias(row.pk, [f'"{command}"'])


def test_what_was_written_by_hand_before_kinds_existed_is_kept_and_not_run(office, visit, tmp_path):
    """Tables of an earlier version, in which quotes decided the kind of a target."""
    by_file, by_hand = f'"|/usr/bin/touch {tmp_path}/wanted"', f'"|/usr/bin/touch {tmp_path}/ran"'
    edited = f'"|/usr/bin/touch {tmp_path}/ran #@x"'
    Alias.objects.create(address="r1@accp.com", local_part="r1", domain=office.accp, targets=[by_file], source="/etc/a")
    Alias.objects.create(address="r2@accp.com", local_part="r2", domain=office.accp, targets=[by_hand])
    row = Alias.objects.create(
        address="r3@accp.com", local_part="r3", domain=office.accp, targets=["wang@accp.com"], source="/etc/a"
    )
    directory.change_alias(row.pk, ["dora@accp.com", "wang@accp.com"])
    change = apps.get_model("mailcore", "Change").objects.get(subject="r3@accp.com")
    change.difference = {"targets": [["wang@accp.com"], [edited]]}
    change.save()
    Alias.objects.filter(pk=row.pk).update(targets=[edited])
    importlib.import_module("mailcore.migrations.0004_target_kinds").store_kinds(apps, None)
    caches.clear_all()
    for name in ("r1", "r2", "r3"):
        deliver(f"{name}@accp.com")
    assert (tmp_path / "wanted").exists()
    assert not (tmp_path / "ran").exists()
    rows = Alias.objects.filter(local_part__startswith="r").order_by("local_part")
    assert [list(each.special.values()) for each in rows] == [["command"], ["unconfirmed"], ["unconfirmed"]]
    assert [each.targets for each in rows] == [[by_file], [by_hand], [edited]]
    page = visit("ann").get(f"/admin/aliases/{rows[1].pk}")
    assert "no aliases file has named it" in page.text
    file_lines = (table_files.parse_target(by_hand),)
    alias_files.add_aliases("/etc/aliases", {"r2": file_lines}, overwrite=True)
    assert list(Alias.objects.get(local_part="r2").special.values()) == ["command"]
