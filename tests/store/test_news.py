"""News between processes: heard after the commit, by whoever listens, without anybody waiting."""

import pytest
from django.db import transaction

from mailcore.store import news

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hearing():
    sockets = {audience: news.listen(audience) for audience in (news.SERVERS, news.COURIERS)}
    yield sockets
    for audience, sock in sockets.items():
        news.stop_listening(sock, audience)


def heard(sock) -> list[bytes]:
    words = []
    while True:
        try:
            words.append(sock.recv(65536))
        except BlockingIOError:
            return words


def test_a_changed_mailbox_is_told_to_servers_on_commit(hearing):
    with transaction.atomic():
        news.publish([12, 7, 7])
        assert heard(hearing[news.SERVERS]) == []
    assert heard(hearing[news.SERVERS]) == [b"M 7 12"]
    assert heard(hearing[news.COURIERS]) == []


def test_nothing_is_told_when_nothing_was_committed(hearing):
    with transaction.atomic():
        news.publish([7])
        transaction.set_rollback(True)
    assert heard(hearing[news.SERVERS]) == []


def test_the_couriers_bell_and_settings(hearing):
    news.ring_couriers()
    news.settings_changed()
    assert heard(hearing[news.COURIERS]) == [b"Q", b"S"]
    assert heard(hearing[news.SERVERS]) == [b"S"]


def test_a_listener_that_died_is_forgotten(settings, hearing):
    assert news.listeners(news.SERVERS) == 1
    hearing[news.SERVERS].close()
    news.publish([1])
    assert news.listeners(news.SERVERS) == 0


def test_a_full_listener_holds_up_nobody(hearing):
    for number in range(5000):
        news.publish([number])
    assert heard(hearing[news.SERVERS])[0] == b"M 0"


def test_a_long_data_folder_is_no_obstacle(settings, tmp_path):
    settings.RUN_ROOT = tmp_path / ("d" * 100)
    sock = news.listen(news.SERVERS)
    news.publish([3])
    assert heard(sock) == [b"M 3"]
    news.stop_listening(sock, news.SERVERS)
