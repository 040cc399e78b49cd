"""Starting a transaction of any kind, by the relying party or by the subject's own app.

The law: nothing is answered that is not committed, and a start is idempotent by its request id. What is asked
is judged before anything is looked up, so that an answer about the content says nothing about a subject. An
app starts only what a signature profile grants to apps, and only for its own subject; it has taken what it
starts. What happens to a transaction afterwards is left to ``transactions``.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from gateway.core.errors import (
    DeviceLocked,
    GatewayError,
    InvalidValue,
    MethodLocked,
    NoActiveDevice,
    NotFound,
    ProfileNotAvailable,
    RequestIdReused,
)
from gateway.core.model import (
    BindingState,
    Caller,
    Channel,
    DeviceBinding,
    Kind,
    Subject,
    uuid7,
    whole_seconds,
)
from gateway.core.payment import payment_of
from gateway.core.profile import LIFETIME_FLOOR_SECONDS, SignatureProfile
from gateway.core.shown import shown_text
from gateway.core.statement import NONCE_BYTES, Content, Payee, ShownText
from gateway.core.text import UNICODE_VERSION
from gateway.core.transaction import State, Transaction
from gateway.services.context import Gateway, usable
from gateway.services.enrolment import external_ref_of, request_digest, request_id_of

MAX_TEXTS = 20
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?\Z")
_FIELDS = dict.fromkeys(Kind, "preContext") | {Kind.TEXT_SIGNATURE: "text"}
"""What the contract calls the texts of a kind."""


@dataclass(frozen=True, slots=True)
class AskedPayment:
    total: str
    currency: str
    payees: tuple[Payee, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants decided, as it came; nothing in it is checked yet."""

    request_id: str
    locale: str
    texts: tuple[ShownText, ...] = ()
    """One for a consent or beside a payment; one or more for a text signature; none or one to log in."""
    payment: AskedPayment | None = None
    post_context: ShownText | None = None
    """Shown after an approval."""
    profile: str | None = None
    acr: str | None = None
    """The least level that an approval must reach."""
    lifetime_seconds: int | None = None


def start_authentication(
    gw: Gateway, caller: Caller, *, external_ref: str, asked: Asked, at: datetime
) -> Transaction:
    """Asks a subject to prove who they are."""
    caller.require("StartAuthentication")
    return _start(gw, caller.relying_party, Kind.AUTHENTICATION, external_ref, asked, at=at)


def start_authorisation(
    gw: Gateway, caller: Caller, *, external_ref: str, asked: Asked, at: datetime
) -> Transaction:
    """Asks a subject to authorise a payment, or what a text says."""
    caller.require("StartAuthorisation")
    return _start(gw, caller.relying_party, Kind.AUTHORISATION, external_ref, asked, at=at)


def start_consent_signature(
    gw: Gateway, caller: Caller, *, external_ref: str, asked: Asked, at: datetime
) -> Transaction:
    """Asks a subject to sign consent to a text."""
    caller.require("StartConsentSignature")
    return _start(gw, caller.relying_party, Kind.CONSENT_SIGNATURE, external_ref, asked, at=at)


def start_text_signature(
    gw: Gateway, caller: Caller, *, external_ref: str, asked: Asked, at: datetime
) -> Transaction:
    """Asks a subject to sign several texts at once, each shown."""
    caller.require("StartTextSignature")
    return _start(gw, caller.relying_party, Kind.TEXT_SIGNATURE, external_ref, asked, at=at)


def start_from_device(
    gw: Gateway, device: DeviceBinding, *, kind: Kind, asked: Asked, at: datetime
) -> Transaction:
    """What a subject starts on their own device, which has taken it: PENDING at once."""
    if not usable(gw, device, at=at):
        raise DeviceLocked()
    request_id_of(asked.request_id)
    checked = _check(gw, device.relying_party, kind, asked, channel=Channel.APP, at=at)
    if not device.offers(checked.profile.factors):
        raise MethodLocked()
    subject = gw.store.subject(device.relying_party, device.subject_id)
    if subject is None:
        raise NotFound()
    # One device's request ids are nobody else's.
    return _commit(gw, subject, checked, request_id=f"{device.id}/{asked.request_id}", device=device)


def _start(
    gw: Gateway, tenant: str, kind: Kind, external_ref: str, asked: Asked, *, at: datetime
) -> Transaction:
    request_id_of(asked.request_id)
    external_ref_of(external_ref)
    checked = _check(gw, tenant, kind, asked, channel=Channel.BACKEND, external_ref=external_ref, at=at)
    if gw.magic is not None:
        gw.magic.prepare(gw, relying_party=tenant, external_ref=external_ref, at=at)
    subject = gw.store.subject_by_ref(tenant, external_ref)
    if subject is None:
        raise NotFound(field="externalRef")
    try:
        _require_device(gw, subject, profile=checked.profile, at=at)
    except GatewayError:
        earlier = gw.store.started(tenant, asked.request_id)
        if earlier is None:
            raise
        return _same(earlier, checked.digest)
    started = _commit(gw, subject, checked, request_id=asked.request_id, device=None)
    if gw.magic is not None:
        gw.magic.play(gw, started)
    return started


@dataclass(frozen=True, slots=True)
class _Checked:
    content: Content
    """Whole but for its subject."""
    post_context: ShownText | None
    profile: SignatureProfile
    digest: bytes
    """Of the request."""


def _check(
    gw: Gateway,
    tenant: str,
    kind: Kind,
    asked: Asked,
    *,
    channel: Channel,
    external_ref: str = "",
    at: datetime,
) -> _Checked:
    profile = gw.profile(tenant, kind=kind, profile_id=asked.profile, acr=asked.acr)
    if channel not in profile.channels:
        raise ProfileNotAvailable(field="profile")
    if not _LOCALE.match(asked.locale):
        raise InvalidValue("A language tag such as en, de-CH or zh-Hant-TW.", field="locale")
    created = whole_seconds(at)
    content = Content(
        unicode_version=UNICODE_VERSION,
        transaction_id=uuid7(at),
        kind=kind,
        created_at=created,
        expires_at=created + timedelta(seconds=_lifetime(profile, asked.lifetime_seconds)),
        nonce=secrets.token_bytes(NONCE_BYTES),
        relying_party=gw.relying_party(tenant),
        subject="",
        locale=asked.locale,
        texts=tuple(_shown(text, profile, field=_FIELDS[kind]) for text in asked.texts),
        payment=None
        if asked.payment is None
        else payment_of(
            total=asked.payment.total, currency=asked.payment.currency, payees=asked.payment.payees
        ),
    )
    _require_what_the_kind_is_about(content)
    after = asked.post_context
    return _Checked(
        content=content,
        post_context=None if after is None else _shown(after, profile, field="postContext"),
        profile=profile,
        digest=request_digest(kind=kind, externalRef=external_ref, **asdict(asked)),
    )


def _require_what_the_kind_is_about(content: Content) -> None:
    kind, texts, field = content.kind, content.texts, _FIELDS[content.kind]
    if content.payment is not None and kind is not Kind.AUTHORISATION:
        raise InvalidValue("Only an authorisation has a payment.", field="payment")
    if len(texts) > (MAX_TEXTS if kind is Kind.TEXT_SIGNATURE else 1):
        raise InvalidValue(f"At most {MAX_TEXTS} texts to sign, and else one.", field=field)
    if not texts and content.payment is None and kind is not Kind.AUTHENTICATION:
        raise InvalidValue("There is nothing to decide: neither a text nor a payment.", field=field)


def _shown(asked: ShownText, profile: SignatureProfile, *, field: str) -> ShownText:
    return shown_text(
        asked.title,
        text=asked.text,
        media_type=asked.media_type,
        max_length=profile.max_text_length,
        field=field,
    )


def _commit(
    gw: Gateway, subject: Subject, checked: _Checked, *, request_id: str, device: DeviceBinding | None
) -> Transaction:
    content, profile = replace(checked.content, subject=subject.pseudonym), checked.profile
    transaction = Transaction(
        relying_party=subject.relying_party,
        id=content.transaction_id,
        subject_id=subject.id,
        kind=content.kind,
        state=State.REQUESTED,
        profile_id=profile.id,
        profile_document=profile.document(),
        content=content,
        created_at=content.created_at,
        expires_at=content.expires_at,
        external_ref=subject.external_ref,
        attributes=tuple(a for a in subject.attributes if a.name in profile.released_attributes),
        post_context=checked.post_context,
    )
    if device is not None:
        transaction = replace(
            transaction,
            state=State.PENDING,
            channel=Channel.APP,
            binding_id=device.id,
            claimed_at=content.created_at,
        )
    standing = gw.store.start_transaction(
        transaction, profile=profile, request_id=request_id, request_digest=checked.digest
    )
    return _same(standing, checked.digest)


def _require_device(gw: Gateway, subject: Subject, *, profile: SignatureProfile, at: datetime) -> None:
    bindings = gw.store.bindings_of(subject.relying_party, subject.id)
    ready = [binding for binding in bindings if usable(gw, binding, at=at)]
    if not ready:
        locked = any(binding.state is BindingState.LOCKED for binding in bindings)
        raise DeviceLocked() if locked else NoActiveDevice()
    if not any(binding.offers(profile.factors) for binding in ready):
        raise MethodLocked()


def _lifetime(profile: SignatureProfile, asked: int | None) -> int:
    if asked is None:
        return profile.lifetime_seconds
    if not LIFETIME_FLOOR_SECONDS <= asked <= profile.lifetime_seconds:
        raise InvalidValue(
            f"{LIFETIME_FLOOR_SECONDS} to {profile.lifetime_seconds}.", field="lifetimeSeconds"
        )
    return asked


def _same(standing: tuple[Transaction, bytes], digest: bytes) -> Transaction:
    transaction, known = standing
    if not hmac.compare_digest(known, digest):
        raise RequestIdReused(field="requestId")
    return transaction
