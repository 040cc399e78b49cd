"""Sealing, wrapped keys and blind indexes, without a database."""

from __future__ import annotations

import secrets
from uuid import UUID

import pytest

from gateway.core.errors import InternalError
from gateway.storage.envelope import BlindIndex, KeyRing

SUBJECT = UUID(int=1)
OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
RING = KeyRing("old", {"old": OLD})
PLACE = {"table": "subject", "column": "attributes", "row": "1"}


def test_a_value_opens_where_it_was_sealed_and_is_never_sealed_alike() -> None:
    key, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    first, second = key.seal(b"value", **PLACE), key.seal(b"value", **PLACE)
    assert key.open(first, **PLACE) == key.open(second, **PLACE) == b"value"
    assert first != second
    assert b"value" not in first


@pytest.mark.rts("22")
@pytest.mark.parametrize(("part", "other"), [("table", "binding"), ("column", "name"), ("row", "2")])
def test_a_value_opens_at_no_other_place(part: str, other: str) -> None:
    key, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    sealed = key.seal(b"value", **PLACE)
    with pytest.raises(InternalError):
        key.open(sealed, **{**PLACE, part: other})


def test_parts_of_a_place_do_not_run_together() -> None:
    key, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    sealed = key.seal(b"value", table="ab", column="c", row="1")
    with pytest.raises(InternalError):
        key.open(sealed, table="a", column="bc", row="1")


@pytest.mark.rts("22")
@pytest.mark.parametrize("at", range(0, 40, 3))
def test_a_changed_or_shortened_value_does_not_open(at: int) -> None:
    key, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    sealed = key.seal(b"value", **PLACE)
    changed = bytearray(sealed)
    changed[at] ^= 1
    for bad in (bytes(changed), sealed[:at]):
        with pytest.raises(InternalError):
            key.open(bad, **PLACE)


def test_keys_of_two_subjects_and_two_relying_parties_are_apart() -> None:
    key, wrapped = RING.new_subject_key("bank", subject_id=SUBJECT)
    other, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    sealed = key.seal(b"value", **PLACE)
    with pytest.raises(InternalError):
        other.open(sealed, **PLACE)
    assert RING.unwrap(wrapped, relying_party="bank", subject_id=SUBJECT).open(sealed, **PLACE) == b"value"
    with pytest.raises(InternalError):
        RING.unwrap(wrapped, relying_party="other", subject_id=SUBJECT)
    with pytest.raises(InternalError):
        RING.unwrap(wrapped, relying_party="bank", subject_id=UUID(int=2))


def test_old_keys_unwrap_and_the_current_one_wraps() -> None:
    key, wrapped = RING.new_subject_key("bank", subject_id=SUBJECT)
    both = KeyRing("new", {"old": OLD, "new": NEW})
    assert both.unwrap(wrapped, relying_party="bank", subject_id=SUBJECT) == key
    _, fresh = both.new_subject_key("bank", subject_id=SUBJECT)
    assert KeyRing("new", {"new": NEW}).unwrap(fresh, relying_party="bank", subject_id=SUBJECT)
    assert fresh.startswith(b"\x03new")


@pytest.mark.parametrize("keys", [{"new": NEW}, {"old": NEW}])
def test_without_the_right_key_nothing_unwraps(keys: dict[str, bytes]) -> None:
    _, wrapped = RING.new_subject_key("bank", subject_id=SUBJECT)
    ring = KeyRing(next(iter(keys)), keys)
    with pytest.raises(InternalError):
        ring.unwrap(wrapped, relying_party="bank", subject_id=SUBJECT)


def test_one_key_id_does_not_stand_for_another_with_the_same_key() -> None:
    _, wrapped = RING.new_subject_key("bank", subject_id=SUBJECT)
    ring = KeyRing("new", {"old": OLD, "new": OLD})
    with pytest.raises(InternalError):
        ring.unwrap(wrapped.replace(b"old", b"new", 1), relying_party="bank", subject_id=SUBJECT)


@pytest.mark.parametrize(
    ("current", "keys"),
    [
        ("absent", {"a": OLD}),
        ("a", {}),
        ("a", {"a": OLD[:31]}),
        ("a", {"a": OLD, "b": b""}),
        ("", {"": OLD}),
        ("ä", {"ä": OLD}),
        ("a" * 41, {"a" * 41: OLD}),
        ("a\x1f", {"a\x1f": OLD}),
    ],
)
def test_a_key_ring_that_is_not_one_is_refused(current: str, keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError):
        KeyRing(current, keys)


def test_keys_are_not_shown() -> None:
    key, _ = RING.new_subject_key("bank", subject_id=SUBJECT)
    shown = repr(RING) + repr(key)
    assert repr(OLD) not in shown
    assert repr(key._secret) not in shown


def test_a_blind_index_is_equal_for_equal_values_of_one_relying_party_and_purpose_alone() -> None:
    index = BlindIndex(OLD)
    base = index.of("K-1", relying_party="bank", purpose="p")
    assert base == BlindIndex(OLD).of("K-1", relying_party="bank", purpose="p")
    assert len(base) == 32
    others = {
        index.of("K-2", relying_party="bank", purpose="p"),
        index.of("K-1", relying_party="other", purpose="p"),
        index.of("K-1", relying_party="bank", purpose="q"),
        BlindIndex(NEW).of("K-1", relying_party="bank", purpose="p"),
    }
    assert len(others | {base}) == 5
    with pytest.raises(ValueError):
        BlindIndex(OLD[:31])
