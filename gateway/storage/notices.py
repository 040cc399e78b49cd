"""The queries of notices and of client versions: what a device is told, and what app it runs.

The law: a device sees its own notices and no other's, and acknowledges them for itself alone. The name in a
notice is read where it stands, under the subject's key: it stands nowhere twice. Who may ask is left to the
services.
"""

# ruff: noqa: S608 - statements are put together of our own constants; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from gateway.core.model import Notice
from gateway.storage import rows
from gateway.storage.queries import Queries


class NoticeQueries(Queries):
    """A part of Store."""

    def notices(self, relying_party: str, binding_id: UUID) -> Sequence[Notice]:
        found = self._pool.run(
            relying_party,
            f"""SELECT n.id, n.kind, n.at, b.id, b.name, {rows.KEY} FROM notice n
            JOIN binding b ON b.relying_party = n.relying_party AND b.id = n.about_id
            JOIN subject_key k ON k.relying_party = b.relying_party AND k.subject_id = b.subject_id
            WHERE n.relying_party = %(rp)s AND n.binding_id = %(binding)s AND n.seen_at IS NULL
            ORDER BY n.id""",
            {"binding": binding_id},
        )
        return [
            Notice(
                id_,
                kind,
                at,
                rows.read_name(
                    self._vault.reading(relying_party, subject_id=subject_id, wrapped=wrapped),
                    binding_id=about,
                    sealed=name,
                ),
            )
            for id_, kind, at, about, name, subject_id, wrapped in found
        ]

    def notice_seen(self, relying_party: str, binding_id: UUID, notice_id: UUID, *, at: datetime) -> bool:
        told = self._pool.run(
            relying_party,
            """UPDATE notice SET seen_at = %(at)s WHERE relying_party = %(rp)s AND binding_id = %(binding)s
                AND id = %(id)s AND seen_at IS NULL;
            SELECT 1 FROM notice WHERE relying_party = %(rp)s AND binding_id = %(binding)s AND id = %(id)s""",
            {"binding": binding_id, "id": notice_id, "at": at},
        )
        return bool(told)

    def note_client(
        self, relying_party: str, binding_id: UUID, *, client_name: str, client_version: str
    ) -> None:
        self._pool.run(
            relying_party,
            "UPDATE binding SET client_name = %(name)s, client_version = %(version)s"
            " WHERE relying_party = %(rp)s AND id = %(binding)s AND state <> 'REVOKED'",
            {"binding": binding_id, "name": client_name, "version": client_version},
        )
