"""What the tests share: one real Postgres a run, migrated, and the identity store on it."""

from __future__ import annotations

import pytest
from storage_fixture import database, make_store  # noqa: F401
from walk import Walk

from gateway.storage.embedded import Connections
from gateway.storage.postgres import PostgresStore


@pytest.fixture(scope="session")
def store(database: Connections) -> PostgresStore:  # noqa: F811
    return make_store(database)


@pytest.fixture
def walk(store: PostgresStore) -> Walk:
    return Walk(store)
