"""Notifications between processes: received after the commit by every listener, without waiting."""

import pytest
from django.db import transaction

from mailcore.store.notify import notifications

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hearing():
    sockets = {
        audience: notifications.open_listener(audience) for audience in (notifications.SERVERS, notifications.COURIERS)
    }
    yield sockets
    for audience, sock in sockets.items():
        notifications.close_listener(sock, audience)


def heard(sock) -> list[bytes]:
    words = []
    while True:
        try:
            words.append(sock.recv(65536))
        except BlockingIOError:
            return words


def test_a_changed_mailbox_is_told_to_servers_on_commit(hearing):
    with transaction.atomic():
        notifications.publish_mailboxes([12, 7, 7])
        assert heard(hearing[notifications.SERVERS]) == []
    assert heard(hearing[notifications.SERVERS]) == [b"M 7 12"]
    assert heard(hearing[notifications.COURIERS]) == []


def test_nothing_is_told_when_nothing_was_committed(hearing):
    with transaction.atomic():
        notifications.publish_mailboxes([7])
        transaction.set_rollback(True)
    assert heard(hearing[notifications.SERVERS]) == []


def test_the_couriers_bell_and_settings(hearing):
    notifications.notify_couriers()
    notifications.publish_settings_changed()
    assert heard(hearing[notifications.COURIERS]) == [b"Q", b"S"]
    assert heard(hearing[notifications.SERVERS]) == [b"S"]


def test_a_listener_that_died_is_forgotten(settings, hearing):
    assert notifications.count_listeners(notifications.SERVERS) == 1
    hearing[notifications.SERVERS].close()
    notifications.publish_mailboxes([1])
    assert notifications.count_listeners(notifications.SERVERS) == 0


def test_a_full_listener_holds_up_nobody(hearing):
    for number in range(5000):
        notifications.publish_mailboxes([number])
    assert heard(hearing[notifications.SERVERS])[0] == b"M 0"


def test_a_long_data_folder_is_no_obstacle(settings, tmp_path):
    settings.RUN_ROOT = tmp_path / ("d" * 100)
    sock = notifications.open_listener(notifications.SERVERS)
    notifications.publish_mailboxes([3])
    assert heard(sock) == [b"M 3"]
    notifications.close_listener(sock, notifications.SERVERS)
