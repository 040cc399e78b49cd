"""What the tests share: one real Postgres a run, migrated, the identity store on it, and the marker rts."""

from __future__ import annotations

import pytest
from rts import pytest_addoption, pytest_collection_modifyitems, pytest_configure  # noqa: F401
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
