"""The queries of enrolment and of tries: subjects, registrations, device bindings and what they count.

The law (RTS (EU) 2018/389 articles 4(3)(b) and 24): whatever counts tries takes the subject's row lock
first, in a statement of its own: the next statement sees what the last holder left. A try may be counted
twice where an answer was lost, never given back twice. An externalRef names one subject.
Who may enrol, and what a try is, is left to the services; how devices are managed to devices.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from gateway.core.certpath import issuer_key_id, load_certificate
from gateway.core.errors import Conflict, MisuseError, RequestIdReused
from gateway.core.model import DeviceBinding, DeviceEvent, LockReason, Registration, Subject, uuid7
from gateway.storage import rows
from gateway.storage.pool import Row
from gateway.storage.queries import EVENT, LOCK_SUBJECT_OF_BINDING, NOT_ERASED, Queries

_SUBJECTS = (
    f"SELECT {rows.KEY}, {rows.SUBJECT} FROM subject_key k JOIN subject s"
    " ON s.relying_party = k.relying_party AND s.id = k.subject_id WHERE k.relying_party = %(rp)s AND "
)
_BINDINGS = (
    f"SELECT {rows.KEY}, {rows.BINDING} FROM binding b JOIN subject_key k USING (relying_party, subject_id)"
    " JOIN certificate c ON c.relying_party = b.relying_party AND c.sha256 = b.certificate_sha256"
    " WHERE b.relying_party = %(rp)s AND "
)
_REGISTRATIONS = (
    f"SELECT {rows.REGISTRATION} FROM registration r JOIN subject_key k USING (relying_party, subject_id)"
    " WHERE r.relying_party = %(rp)s AND "
)
_ATTEMPTS = 3

_REGISTER = """WITH r AS (
    INSERT INTO registration (relying_party, id, subject_id, activation_id, state, failures, created_at,
        expires_at, binding_id, request_index, request_digest)
    SELECT %(rp)s, %(id)s, %(subject)s, %(activation)s, %(state)s, %(failures)s, %(created_at)s,
        %(expires_at)s, %(binding)s, %(request_index)s, %(request_digest)s
"""
_REGISTER_NEW_SUBJECT = f"""{_REGISTER} ON CONFLICT DO NOTHING RETURNING relying_party, id, state, subject_id
), s AS (
    INSERT INTO subject (relying_party, id, pseudonym, external_ref, attributes, created_at)
    SELECT relying_party, subject_id, %(pseudonym)s, %(external_ref)s, %(attributes)s, %(subject_created_at)s
    FROM r
), k AS (
    INSERT INTO subject_key (relying_party, subject_id, wrapped, ref_index)
    SELECT relying_party, subject_id, %(wrapped)s, %(ref_index)s FROM r
)"""
_REGISTER_KNOWN_SUBJECT = f"""{_REGISTER} WHERE {NOT_ERASED}
    ON CONFLICT DO NOTHING RETURNING relying_party, id, state, subject_id
), s AS (
    UPDATE subject SET attributes = %(attributes)s FROM r
    WHERE %(replace)s AND subject.relying_party = r.relying_party AND subject.id = r.subject_id
)"""
_REGISTERED = f"""
{EVENT} SELECT relying_party, %(event)s, 'registration', id, 'START', state, '', %(created_at)s FROM r;
SELECT k.wrapped, r.request_digest, {rows.REGISTRATION}, {rows.SUBJECT}
FROM registration r JOIN subject s ON s.relying_party = r.relying_party AND s.id = r.subject_id
LEFT JOIN subject_key k ON k.relying_party = r.relying_party AND k.subject_id = r.subject_id
WHERE r.relying_party = %(rp)s AND r.request_index = %(request_index)s"""
_REGISTRATION_COLUMNS = len(rows.REGISTRATION.split(","))

_ACTIVATE = f"""SELECT 1 FROM subject WHERE relying_party = %(rp)s AND id = %(subject)s FOR NO KEY UPDATE;
WITH moved AS (
    UPDATE registration
    SET state = 'ACTIVATED', binding_id = %(binding)s, failures = GREATEST(failures - 1, 0)
    WHERE relying_party = %(rp)s AND id = %(id)s AND subject_id = %(subject)s AND state = 'PENDING'
        AND expires_at > %(at)s AND {NOT_ERASED}
    RETURNING relying_party, id, subject_id, state
), c AS (
    INSERT INTO certificate (relying_party, sha256, issuer, serial, der)
    SELECT relying_party, %(sha256)s, %(issuer)s, %(serial)s, %(certificate)s FROM moved
    ON CONFLICT DO NOTHING
), b AS (
    INSERT INTO binding (relying_party, id, subject_id, name, platform, state, signing_key, transport_key,
        pin_key, push_target, certificate_sha256, attestation_format, attestation_verdict, attestation_object,
        bound_at)
    SELECT relying_party, %(binding)s, subject_id, %(name)s, %(platform)s, %(state)s, %(signing_key)s,
        %(transport_key)s, %(pin_key)s, %(push_target)s, %(sha256)s, %(attestation_format)s,
        %(attestation_verdict)s, %(attestation_object)s, %(bound_at)s FROM moved
), s AS (
    UPDATE subject SET failures = 0 FROM moved m
    WHERE subject.relying_party = m.relying_party AND subject.id = m.subject_id
), bound AS (
    {EVENT} SELECT relying_party, %(bound)s, 'binding', %(binding)s, 'BIND', %(state)s, '', %(at)s FROM moved
)"""


class EnrolmentQueries(Queries):
    """The first half of Store."""

    # subjects and registrations

    def start_registration(
        self, registration: Registration, *, subject: Subject, request_id: str, request_digest: bytes
    ) -> tuple[Registration, Subject, bytes]:
        """Raises RequestIdReused where what the request id began has been erased since."""
        relying_party = registration.relying_party
        ref_index = self._ref_index(relying_party, subject.external_ref)
        params = {
            "id": registration.id,
            "activation": registration.activation_id,
            "state": str(registration.state),
            "failures": registration.failures,
            "created_at": registration.created_at,
            "expires_at": registration.expires_at,
            "binding": registration.binding_id,
            "request_index": self._request_index(relying_party, "registration request", request_id),
            "pseudonym": subject.pseudonym,
            "subject_created_at": subject.created_at,
            "ref_index": ref_index,
            "replace": bool(subject.attributes),
            "event": uuid7(registration.created_at),
        }
        for _ in range(_ATTEMPTS):
            known = self._pool.run(
                relying_party,
                f"SELECT {rows.KEY} FROM subject_key k"
                " WHERE k.relying_party = %(rp)s AND k.ref_index = %(index)s",
                {"index": ref_index},
            )
            if known:
                subject_id, wrapped = known[0]
                key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
            else:
                subject_id = subject.id
                key, wrapped = self._vault.new(relying_party, subject_id=subject_id)
            sealed = {
                "subject": subject_id,
                "wrapped": wrapped,
                "external_ref": rows.seal_ref(key, subject_id=subject_id, external_ref=subject.external_ref),
                "attributes": rows.seal_attributes(key, subject_id=subject_id, attributes=subject.attributes),
                "request_digest": rows.seal_digest(
                    key, table="registration", id_=registration.id, digest=request_digest
                ),
            }
            begin = _REGISTER_KNOWN_SUBJECT if known else _REGISTER_NEW_SUBJECT
            try:
                found = self._pool.run(relying_party, begin + _REGISTERED, {**params, **sealed})
            except Conflict:
                continue  # the externalRef has become known meanwhile
            if found:
                return self._registered(relying_party, found[0])
        raise Conflict()

    def _registered(self, relying_party: str, row: Row) -> tuple[Registration, Subject, bytes]:
        wrapped, digest, *columns = row
        if wrapped is None:
            raise RequestIdReused(field="requestId")
        standing = rows.read_registration(relying_party, row=tuple(columns[:_REGISTRATION_COLUMNS]))
        subject_id = standing.subject_id
        key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
        subject = rows.read_subject(key, subject_id=subject_id, row=tuple(columns[_REGISTRATION_COLUMNS:]))
        return (
            standing,
            subject,
            rows.read_digest(key, table="registration", id_=standing.id, sealed=digest),
        )

    def registration(self, relying_party: str, registration_id: UUID) -> Registration | None:
        found = self._pool.run(relying_party, _REGISTRATIONS + "r.id = %(id)s", {"id": registration_id})
        return rows.read_registration(relying_party, row=found[0]) if found else None

    def reserve_activation_try(
        self, relying_party: str, activation_id: UUID, *, max_failures: int, at: datetime
    ) -> Registration | None:
        found = self._pool.run(
            relying_party,
            f"""UPDATE registration r SET failures = r.failures + 1 FROM subject_key k
            WHERE r.relying_party = %(rp)s AND r.activation_id = %(activation)s AND r.state = 'PENDING'
                AND r.expires_at > %(at)s AND r.failures < %(max)s
                AND k.relying_party = r.relying_party AND k.subject_id = r.subject_id
            RETURNING {rows.REGISTRATION}""",
            {"activation": activation_id, "at": at, "max": max_failures},
        )
        return rows.read_registration(relying_party, row=found[0]) if found else None

    def activate(
        self, registration: Registration, *, binding: DeviceBinding, push_target: str | None, at: datetime
    ) -> bool:
        """The subject's failures begin anew: an activation is the bank's own way back from a lock."""
        relying_party, subject_id = registration.relying_party, registration.subject_id
        if (binding.relying_party, binding.subject_id) != (relying_party, subject_id):
            raise MisuseError("a binding is of the subject that its registration is of")
        key = self._vault.writing(relying_party, subject_id=subject_id)
        if key is None:
            return False
        certificate = load_certificate(binding.certificate)
        params = {
            **rows.seal_binding(key, binding=binding, push_target=push_target),
            "id": registration.id,
            "subject": subject_id,
            "serial": certificate.serial_number,
            "issuer": issuer_key_id(certificate),
            "bound": uuid7(at),
        }
        return self._moved(relying_party, _ACTIVATE, params, entity="registration", event="ACTIVATE", at=at)

    def block_registration(self, relying_party: str, registration_id: UUID, *, at: datetime) -> bool:
        return self._moved(
            relying_party,
            """WITH moved AS (
                UPDATE registration SET state = 'BLOCKED'
                WHERE relying_party = %(rp)s AND id = %(id)s AND state = 'PENDING'
                RETURNING relying_party, id, state
            )""",
            {"id": registration_id},
            entity="registration",
            event="BLOCK",
            at=at,
        )

    def subject(self, relying_party: str, subject_id: UUID) -> Subject | None:
        return self._subject(relying_party, "k.subject_id = %(id)s", {"id": subject_id})

    def subject_by_ref(self, relying_party: str, external_ref: str) -> Subject | None:
        index = self._ref_index(relying_party, external_ref)
        return self._subject(relying_party, "k.ref_index = %(index)s", {"index": index})

    def _subject(self, relying_party: str, where: str, params: Mapping[str, object]) -> Subject | None:
        for subject_id, wrapped, *row in self._pool.run(relying_party, _SUBJECTS + where, params):
            key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
            return rows.read_subject(key, subject_id=subject_id, row=tuple(row))
        return None

    def _ref_index(self, relying_party: str, external_ref: str) -> bytes:
        return self._vault.index(external_ref, relying_party=relying_party, purpose="externalRef")

    # device bindings

    def binding(self, relying_party: str, binding_id: UUID) -> DeviceBinding | None:
        found = self._bindings(relying_party, "b.id = %(id)s", {"id": binding_id})
        return found[0] if found else None

    def bindings_of(self, relying_party: str, subject_id: UUID) -> Sequence[DeviceBinding]:
        where = "b.subject_id = %(id)s ORDER BY b.bound_at, b.id"
        return self._bindings(relying_party, where, {"id": subject_id})

    def _bindings(self, relying_party: str, where: str, params: Mapping[str, object]) -> list[DeviceBinding]:
        return [
            rows.read_binding(
                self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped),
                subject_id=subject_id,
                row=tuple(row),
            )
            for subject_id, wrapped, *row in self._pool.run(relying_party, _BINDINGS + where, params)
        ]

    def remember_nonce(
        self, relying_party: str, binding_id: UUID, nonce: str, *, expires_at: datetime
    ) -> bool:
        first = self._pool.run(
            relying_party,
            """INSERT INTO nonce (relying_party, binding_id, sha256, seen_by, expires_at)
            VALUES (%(rp)s, %(binding)s, sha256(%(nonce)s), %(call)s, %(expires_at)s) ON CONFLICT DO NOTHING;
            SELECT 1 FROM nonce WHERE relying_party = %(rp)s AND binding_id = %(binding)s
                AND sha256 = sha256(%(nonce)s) AND seen_by = %(call)s""",
            {
                "binding": binding_id,
                "nonce": nonce.encode(),
                "call": uuid7(expires_at),
                "expires_at": expires_at,
            },
        )
        return bool(first)

    def reserve_try(
        self, relying_party: str, binding_id: UUID, *, max_failures: int, feigned: bool = False
    ) -> int | None:
        counted = self._pool.run(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + """WITH b AS (
                UPDATE binding b SET failures = b.failures + %(step)s FROM subject s
                WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND b.state = 'ACTIVE'
                    AND NOT 'pin' = ANY(b.locked_methods)
                    AND b.failures < %(max)s AND s.relying_party = b.relying_party AND s.id = b.subject_id
                    AND s.failures < %(max)s
                RETURNING b.relying_party, b.subject_id, b.failures
            )
            UPDATE subject s SET failures = s.failures + %(step)s FROM b
            WHERE s.relying_party = b.relying_party AND s.id = b.subject_id RETURNING b.failures""",
            {"binding": binding_id, "max": max_failures, "step": 0 if feigned else 1},
        )
        return int(counted[0][0]) if counted else None

    def release_try(self, relying_party: str, binding_id: UUID) -> None:
        self._pool.run(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + """WITH b AS (
                UPDATE binding SET failures = failures - 1
                WHERE relying_party = %(rp)s AND id = %(binding)s AND failures > 0
                RETURNING relying_party, subject_id
            )
            UPDATE subject s SET failures = GREATEST(s.failures - 1, 0) FROM b
            WHERE s.relying_party = b.relying_party AND s.id = b.subject_id""",
            {"binding": binding_id},
            once=True,
        )

    def lock_if_spent(self, relying_party: str, binding_id: UUID, *, max_failures: int, at: datetime) -> bool:
        """Spent are the binding's own tries, or the subject's over all its bindings."""
        return self._moved(
            relying_party,
            LOCK_SUBJECT_OF_BINDING
            + """WITH moved AS (
                UPDATE binding b SET state = 'LOCKED', lock_reason = %(reason)s FROM subject s
                WHERE b.relying_party = %(rp)s AND b.id = %(binding)s AND b.state = 'ACTIVE'
                    AND s.relying_party = b.relying_party AND s.id = b.subject_id
                    AND GREATEST(b.failures, s.failures) >= %(max)s
                RETURNING b.relying_party, b.id, b.state
            )""",
            {"binding": binding_id, "max": max_failures},
            entity="binding",
            event=DeviceEvent.LOCK,
            at=at,
            reason=LockReason.FAILURES,
        )
