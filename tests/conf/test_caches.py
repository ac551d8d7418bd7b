"""Caches of values that are stored elsewhere."""

import pytest

from mailcore.conf import caches
from mailcore.models import Domain
from mailcore.store import directory


@pytest.mark.django_db
def test_values_are_cached_until_their_source_is_cleared():
    directory.create_domain("benet.com")
    assert directory.find_domain("benet.com")
    Domain.objects.update(name="accp.com")
    caches.clear(caches.Source.DNS)
    assert directory.find_domain("benet.com")
    caches.clear(caches.Source.DATABASE)
    assert directory.find_domain("benet.com") is None
    assert directory.find_domain("accp.com")


@pytest.mark.parametrize("source", caches.Source)
def test_every_source_is_cleared_together(source):
    cached = {"key": "value"}
    caches.register(source, cached.clear)
    caches.clear_all()
    assert cached == {}
