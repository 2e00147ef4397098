"""What can go wrong with the cache, each a sentence for the person who asked."""

from __future__ import annotations


class StoreError(Exception):
    """The cache or a file of it cannot be used."""


class Damaged(StoreError):
    """A file of an artifact is not what it should be; it was set aside."""


class Missing(StoreError):
    """There is no such artifact: it was never there, or somebody deleted it."""
