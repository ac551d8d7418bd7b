"""A message whose file is lost keeps nobody from the rest of the mailbox."""

from pathlib import Path

import pytest

from imap_client import PLAIN, Mailer
from mailcore.models import Message
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lisi(imap, benet, caplog) -> Mailer:
    """Three messages in INBOX; the file of UID 2 is gone."""
    client = imap().dial().sign_in()
    for _ in range(3):
        client.append(PLAIN)
    client.do("SELECT INBOX")
    inbox = boxes.find_mailbox(Owner(benet["lisi"], "lisi@benet.com"), "INBOX")
    Path(
        maildir_files.find_file(inbox.directory, Message.objects.get(mailbox_id=inbox.id, uid=2).base_name, 0)
    ).unlink()
    return client


@pytest.mark.parametrize("item", ["BODY.PEEK[]", "BODY[TEXT]", "RFC822.SIZE BODY.PEEK[HEADER]", "BINARY.PEEK[1]"])
def test_the_others_are_read(lisi, item, caplog):
    responses = lisi.do(f"UID FETCH 1:* ({item})")
    assert [line.split()[1] for line in responses if b"{" in line] == [b"1", b"3"]
    assert b"* NO [CONTACTADMIN] Content of UID 2 is lost, the administrator can restore it" in responses
    assert "uid=2" in caplog.text
    assert "mailindex --restore" in caplog.text


def test_alone_it_is_refused(lisi):
    lisi.do("UID FETCH 2 (BODY.PEEK[])", "NO [CONTACTADMIN] Content of UID 2 is lost")
    lisi.do("FETCH 2 (FLAGS ENVELOPE)")
    lisi.do("UID COPY 2 Sent")
    lisi.do("UID STORE 2 +FLAGS (\\Deleted)")
    lisi.do("EXPUNGE")
    assert len(lisi.do("UID FETCH 1:* (BODY.PEEK[])")) == 2
