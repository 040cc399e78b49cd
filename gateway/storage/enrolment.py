"""The queries of enrolment and of tries: subjects, registrations, device bindings and what they count.

The law (RTS (EU) 2018/389 articles 4(3)(b) and 24): whatever counts tries, or ends a binding, takes the
subject's row lock first, in a statement of its own: the next statement sees what the last holder left. A try
may be counted twice where an answer was lost, never given back twice. An externalRef names one subject. How
many devices a subject has is counted under that lock where one is bound, and what a new binding replaces
ends in the same transaction (article 27).
Who may enrol, and what a try is, is left to the services; how devices are managed to devices.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from gateway.core.certpath import issuer_key_id, load_certificate
from gateway.core.errors import Conflict, DeviceLimitReached, MisuseError, RequestIdReused
from gateway.core.model import (
    DeviceBinding,
    DeviceEvent,
    FailedTry,
    LockReason,
    Registration,
    RegistrationPurpose,
    Subject,
    uuid7,
)
from gateway.ports import ActivationPart, RecoveryCode
from gateway.storage import rows
from gateway.storage.pool import Row
from gateway.storage.queries import (
    EVENT,
    EVENT_OF_EACH,
    LOCK_SUBJECT_OF_BINDING,
    NOT_ERASED,
    Queries,
    ends_with,
)

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
_REVOKED_BECAUSE = {RegistrationPurpose.RECOVERY: LockReason.LOST}
"""Why an activation ends a binding, where it does not because the device was replaced."""
_DEVICES = (
    "(SELECT count(*) FROM binding d WHERE d.relying_party = %(rp)s AND d.subject_id = %(subject)s"
    " AND d.state IN ('ACTIVE', 'LOCKED') AND d.id IS DISTINCT FROM %(former)s::uuid)"
)
"""How many devices the subject has, but for the one that is replaced."""

_REGISTER = """WITH r AS (
    INSERT INTO registration (relying_party, id, subject_id, activation_id, state, failures, created_at,
        expires_at, binding_id, purpose, artifact_sha256, request_index, request_digest)
    SELECT %(rp)s, %(id)s, %(subject)s, %(activation)s, %(state)s, %(failures)s, %(created_at)s,
        %(expires_at)s, %(binding)s, %(purpose)s, %(artifact)s::bytea, %(request_index)s, %(request_digest)s
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
    AND (%(purpose)s <> 'new-device' OR {_DEVICES} < %(max_devices)s)
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
    SET state = 'ACTIVATED', binding_id = %(binding)s, failures = GREATEST(failures - 1, 0),
        activation_digest = %(digest)s
    WHERE relying_party = %(rp)s AND id = %(id)s AND subject_id = %(subject)s AND state = 'PENDING'
        AND expires_at > %(at)s AND {NOT_ERASED}
        AND (%(former)s::uuid IS NULL OR EXISTS (
            SELECT 1 FROM binding f WHERE f.relying_party = %(rp)s AND f.id = %(former)s
                AND f.subject_id = %(subject)s AND f.state IN ('ACTIVE', 'LOCKED')))
        AND CASE purpose
            WHEN 'recovery' THEN EXISTS (SELECT 1 FROM recovery y WHERE y.relying_party = %(rp)s
                AND y.subject_id = %(subject)s AND y.id = %(spent)s::uuid)
            ELSE {_DEVICES} < %(max_devices)s AND (purpose = 'new-device' OR %(former)s::uuid IS NOT NULL) END
    RETURNING relying_party, id, subject_id, state, purpose
), c AS (
    INSERT INTO certificate (relying_party, sha256, issuer, serial, der)
    SELECT relying_party, %(sha256)s, %(issuer)s, %(serial)s, %(certificate)s FROM moved
    ON CONFLICT DO NOTHING
), b AS (
    INSERT INTO binding (relying_party, id, subject_id, name, platform, state, signing_key, transport_key,
        pin_key, push_target, certificate_sha256, attestation_format, attestation_verdict, attestation_object,
        attestation_level, attestation_user_verification, activation_id, bound_at, client_name,
        client_version)
    SELECT relying_party, %(binding)s, subject_id, %(name)s, %(platform)s, %(state)s, %(signing_key)s,
        %(transport_key)s, %(pin_key)s, %(push_target)s, %(sha256)s, %(attestation_format)s,
        %(attestation_verdict)s, %(attestation_object)s, %(attestation_level)s,
        %(attestation_user_verification)s, %(activation_id)s::uuid, %(bound_at)s, %(client_name)s,
        %(client_version)s
    FROM moved
), s AS (
    UPDATE subject SET failures = 0 FROM moved m
    WHERE subject.relying_party = m.relying_party AND subject.id = m.subject_id
), bound AS (
    {EVENT} SELECT relying_party, %(bound)s, 'binding', %(binding)s, '{DeviceEvent.BIND}', %(state)s,
        %(purpose)s, %(at)s
    FROM moved
), ended AS (
    UPDATE binding o SET state = 'REVOKED', lock_reason = NULL FROM moved m
    WHERE o.relying_party = m.relying_party AND o.subject_id = m.subject_id
        AND o.state IN ('ACTIVE', 'LOCKED') AND (m.purpose = 'recovery' OR o.id = %(former)s)
    RETURNING o.relying_party, o.id, o.subject_id, o.state, o.certificate_sha256
), {ends_with("ended")}, told_of_the_end AS (
    {EVENT} SELECT relying_party, {EVENT_OF_EACH}, 'binding', id, '{DeviceEvent.REVOKE}', state, %(because)s,
        %(at)s FROM ended
), others AS (
    SELECT o.relying_party, o.id, o.state, o.push_target IS NOT NULL AS can_be_woken
    FROM binding o JOIN moved m
        ON o.relying_party = m.relying_party AND o.subject_id = m.subject_id AND o.state = 'ACTIVE'
        AND m.purpose <> 'recovery' AND o.id IS DISTINCT FROM %(former)s
    FOR NO KEY UPDATE OF o      -- who records an event holds the row of its entity
), alerted AS (
    {EVENT} SELECT relying_party, {EVENT_OF_EACH}, 'binding', id, '{DeviceEvent.ALERT}', state, 'new-device',
        %(at)s FROM others
), noticed AS (
    INSERT INTO notice (relying_party, binding_id, id, kind, about_id, at)
    SELECT relying_party, id, %(bound)s, 'new-device', %(binding)s, %(at)s FROM others
), woken AS (
    INSERT INTO wake (relying_party, id, binding_id, due_at)
    SELECT relying_party, {EVENT_OF_EACH}, id, %(at)s FROM others WHERE can_be_woken
), left_behind AS (
    INSERT INTO recovery (relying_party, subject_id, id, digest, created_at)
    SELECT relying_party, subject_id, %(recovery)s::uuid, %(recovery_digest)s::bytea, %(at)s FROM moved
    WHERE %(recovery)s::uuid IS NOT NULL
    ON CONFLICT (relying_party, subject_id) DO UPDATE
        SET id = excluded.id, digest = excluded.digest, created_at = excluded.created_at
), spent AS (
    DELETE FROM recovery y USING moved m
    WHERE y.relying_party = m.relying_party AND y.subject_id = m.subject_id AND y.id = %(spent)s
        AND %(recovery)s::uuid IS NULL
)"""


class EnrolmentQueries(Queries):
    """The first half of Store."""

    # subjects and registrations

    def start_registration(
        self,
        registration: Registration,
        *,
        subject: Subject,
        request_id: str,
        request_digest: bytes,
        max_devices: int,
        artifact_sha256: bytes | None = None,
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
            "purpose": str(registration.purpose),
            "artifact": artifact_sha256,
            "former": None,
            "max_devices": max_devices,
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
            limits = registration.purpose is RegistrationPurpose.NEW_DEVICE
            if known and limits and self._devices(relying_party, subject_id) >= max_devices:
                raise DeviceLimitReached()
        raise Conflict()

    def _devices(self, relying_party: str, subject_id: UUID) -> int:
        counted = self._pool.run(relying_party, f"SELECT {_DEVICES}", {"subject": subject_id, "former": None})
        return int(counted[0][0])

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

    def redeem_artifact(
        self, relying_party: str, artifact_sha256: bytes, *, expires_at: datetime, at: datetime
    ) -> Registration | None:
        found = self._pool.run(
            relying_party,
            f"""WITH moved AS (
                UPDATE registration r SET state = 'PENDING', expires_at = %(expires_at)s FROM subject_key k
                WHERE r.relying_party = %(rp)s AND r.artifact_sha256 = %(artifact)s AND r.state = 'ISSUED'
                    AND r.expires_at > %(at)s
                    AND k.relying_party = r.relying_party AND k.subject_id = r.subject_id
                RETURNING r.relying_party, r.id, r.state
            ) {EVENT} SELECT relying_party, %(event)s, 'registration', id, 'REDEEM', state, '', %(at)s
                FROM moved;
            {_REGISTRATIONS} r.artifact_sha256 = %(artifact)s AND EXISTS (SELECT 1 FROM event e
                WHERE e.relying_party = r.relying_party AND e.id = %(event)s)""",
            {"artifact": artifact_sha256, "expires_at": expires_at, "at": at, "event": uuid7(at)},
        )
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
        self,
        registration: Registration,
        *,
        binding: DeviceBinding,
        push_target: str | None,
        part: ActivationPart,
        max_devices: int,
        at: datetime,
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
            "purpose": ""
            if registration.purpose is RegistrationPurpose.NEW_DEVICE
            else str(registration.purpose),
            "because": _REVOKED_BECAUSE.get(registration.purpose, LockReason.REPLACED),
            "digest": rows.seal_activation(key, registration_id=registration.id, digest=part.digest),
            "former": part.former,
            "spent": part.spent,
            "recovery": part.recovery.id if part.recovery else None,
            "recovery_digest": rows.seal_recovery(
                key, recovery_id=part.recovery.id, digest=part.recovery.digest
            )
            if part.recovery
            else None,
            "max_devices": max_devices,
        }
        return self._moved(relying_party, _ACTIVATE, params, entity="registration", event="ACTIVATE", at=at)

    def activated(
        self, relying_party: str, activation_id: UUID
    ) -> tuple[Registration, DeviceBinding, bytes] | None:
        found = self._pool.run(
            relying_party,
            _REGISTRATIONS.replace("SELECT ", "SELECT r.activation_digest, k.wrapped, ", 1)
            + "r.activation_id = %(activation)s AND r.state = 'ACTIVATED'"
            " AND r.activation_digest IS NOT NULL",
            {"activation": activation_id},
        )
        if not found:
            return None
        sealed, wrapped, *row = found[0]
        registration = rows.read_registration(relying_party, row=tuple(row))
        key = self._vault.reading(relying_party, subject_id=registration.subject_id, wrapped=wrapped)
        digest = rows.read_activation(key, registration_id=registration.id, sealed=sealed)
        if registration.binding_id is None:
            return None
        binding = self.binding(relying_party, registration.binding_id)
        return None if binding is None else (registration, binding, digest)

    def recovery_code(self, relying_party: str, subject_id: UUID) -> RecoveryCode | None:
        found = self._pool.run(
            relying_party,
            f"SELECT y.id, y.digest, {rows.KEY} FROM recovery y"
            " JOIN subject_key k USING (relying_party, subject_id)"
            " WHERE y.relying_party = %(rp)s AND y.subject_id = %(subject)s",
            {"subject": subject_id},
        )
        for id_, sealed, _, wrapped in found:
            key = self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped)
            return RecoveryCode(id_, rows.read_recovery(key, recovery_id=id_, sealed=sealed))
        return None

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

    def failed_try(self, relying_party: str, entity_id: UUID, *, reason: FailedTry, at: datetime) -> None:
        entity = "registration" if reason is FailedTry.ACTIVATION else "binding"
        self._pool.run(
            relying_party,
            f"""{EVENT} SELECT relying_party, %(event)s, '{entity}', id, '{DeviceEvent.FAIL_TRY}', state,
                %(reason)s, %(at)s
            FROM {entity} WHERE relying_party = %(rp)s AND id = %(id)s FOR NO KEY UPDATE
            ON CONFLICT DO NOTHING""",
            {"event": uuid7(at, first=True), "id": entity_id, "reason": str(reason), "at": at},
        )
