"""Folders as different servers name them."""

import pytest
from django.utils import translation

from webmail.values import folder_tree

OURS = [
    rb'(\HasNoChildren \Subscribed) "/" INBOX',
    rb'(\HasNoChildren \Drafts \Subscribed) "/" Drafts',
    rb'(\HasNoChildren \Sent \Subscribed) "/" Sent',
    rb'(\HasChildren \Subscribed) "/" &W6JiNw-',
    rb'(\HasNoChildren) "/" &W6JiNw-/2026',
    rb'(\Trash \Subscribed) "/" Trash',
    rb'(\NonExistent \HasChildren) "/" Alt',
]
COURIER = [  # everything below INBOX, no SPECIAL-USE
    rb'(\HasChildren) "." "INBOX"',
    rb'(\HasNoChildren) "." "INBOX.Sent"',
    rb'(\HasNoChildren) "." "INBOX.Drafts"',
    rb'(\HasNoChildren) "." "INBOX.Trash"',
    rb'(\HasNoChildren) "." "INBOX.&V4NXPpCuTvY-"',
    rb'(\HasNoChildren) "." "INBOX.Work"',
]
EXCHANGE = [
    rb'(\HasNoChildren \Trash) "/" "Deleted Items"',
    rb'(\HasNoChildren \Sent) "/" "Sent Items"',
    rb'(\Marked \HasNoChildren) "/" INBOX',
    (rb'(\HasNoChildren) "/" {7}', b'a "b" c'),
    rb'(\HasNoChildren) "/" "Projects (old)"',
    rb"(\HasNoChildren) NIL 2026",
]

SERVERS = {
    "ours": (OURS, ["INBOX", "Drafts", "Sent", "Trash", "Alt", "客户", "客户/2026"], ["inbox", "drafts", "sent", "trash", "", "", ""]),
    "Courier": (
        COURIER,
        ["INBOX", "INBOX.Drafts", "INBOX.Sent", "INBOX.垃圾邮件", "INBOX.Trash", "INBOX.Work"],
        ["inbox", "drafts", "sent", "junk", "trash", ""],
    ),
    "Exchange": (
        EXCHANGE,
        ["INBOX", "Sent Items", "Deleted Items", "2026", 'a "b" c', "Projects (old)"],
        ["inbox", "sent", "trash", "", "", ""],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "names", "roles"), SERVERS.values(), ids=SERVERS.keys())
def test_special_folders_first(lines, names: list[str], roles: list[str]) -> None:
    with translation.override("en"):
        arranged = folder_tree.arrange_folders(folder_tree.parse_list(lines).values())
    assert [folder.name for folder in arranged] == names
    assert [folder.role for folder in arranged] == roles


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("zh-hans", ["北京", "会议", "张三", "apfel", "Äpfel", "Zoo"]),
        ("de", ["apfel", "Äpfel", "Zoo", "会议", "北京", "张三"]),
    ],
)
def test_the_others_stand_in_the_readers_order(language: str, names: list[str]) -> None:
    known = [folder_tree.Folder(name) for name in sorted(names)]
    with translation.override(language):
        assert [folder.name for folder in folder_tree.arrange_folders(known)] == names


def test_a_folder_that_is_only_a_level_cannot_be_opened() -> None:
    found = {folder.name: folder for folder in folder_tree.parse_list(OURS).values()}
    assert not found["Alt"].selectable
    assert found["客户"].subscribed
    assert not found["客户/2026"].subscribed
    assert (found["客户/2026"].leaf, found["客户/2026"].parent, found["客户/2026"].depth) == ("2026", "客户", 1)


def test_counts() -> None:
    status = [b"INBOX (MESSAGES 5 UNSEEN 2)", b'"&W6JiNw-" (UNSEEN 1 MESSAGES 1)', b"Gone (MESSAGES 9)"]
    found = {f.name: (f.messages, f.unseen) for f in folder_tree.with_counts(folder_tree.parse_list(OURS), status)}
    assert found["INBOX"] == (5, 2)
    assert found["客户"] == (1, 1)
    assert found["Sent"] == (0, 0)


def test_names_that_break_the_rules_are_shown_all_the_same() -> None:
    found = folder_tree.parse_list([b'() "/" "&broken"', '() "/" "邮件"'.encode()])
    assert [folder.name for folder in found.values()] == ["&broken", "邮件"]
