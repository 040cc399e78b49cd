-- The identity store.
--
-- The law: each key of a tenant's table begins with relying_party, and each such table shows and takes rows
-- of the relying party in the transaction's setting gateway.relying_party alone; unset, it shows none. What is
-- sealed (bytea columns marked so) is AES-256-GCM under the subject's own key; nothing that names a person,
-- and nothing that was shown to one, stands here in clear. Deleting a subject's row of subject_key erases the
-- subject: nothing of it can be read or found any more, and no other row changes. Evidence, events,
-- certificates and revocations are only ever added. Each state has what it needs, by constraint.
--
-- Ids are UUIDv7 made by the gateway; there is no sequence. :"app_role" is put in by migrate.

CREATE DOMAIN tenant AS text CHECK (VALUE ~ '^[a-z0-9-]{1,40}$');

CREATE TABLE subject (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    pseudonym text NOT NULL,
    external_ref bytea NOT NULL,                  -- sealed
    attributes bytea NOT NULL,                    -- sealed
    failures smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, id),
    UNIQUE (relying_party, pseudonym)
);

CREATE TABLE subject_key (
    relying_party tenant NOT NULL,
    subject_id uuid NOT NULL,
    wrapped bytea NOT NULL,                       -- the data key, under a key-encryption key
    ref_index bytea NOT NULL CHECK (octet_length(ref_index) = 32),  -- HMAC of the externalRef
    PRIMARY KEY (relying_party, subject_id),
    UNIQUE (relying_party, ref_index),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id)
);

CREATE TABLE registration (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    subject_id uuid NOT NULL,
    activation_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'ACTIVATED', 'EXPIRED', 'BLOCKED')),
    failures smallint NOT NULL CHECK (failures >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    binding_id uuid,
    request_index bytea NOT NULL CHECK (octet_length(request_index) = 32),  -- HMAC of the request id
    request_digest bytea NOT NULL,                -- sealed
    PRIMARY KEY (relying_party, id),
    UNIQUE (relying_party, activation_id),
    UNIQUE (relying_party, request_index),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id),
    CHECK ((state = 'ACTIVATED') = (binding_id IS NOT NULL))
);

CREATE TABLE certificate (
    relying_party tenant NOT NULL,
    sha256 bytea NOT NULL CHECK (sha256 = sha256(der)),
    issuer bytea NOT NULL,                            -- RFC 5280 4.2.1.1: key identifier of the CA
    serial numeric(49) NOT NULL CHECK (serial > 0),   -- RFC 5280 4.1.2.2: up to 20 octets
    der bytea NOT NULL,
    PRIMARY KEY (relying_party, sha256)
);

CREATE TABLE binding (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    subject_id uuid NOT NULL,
    name bytea NOT NULL,                          -- sealed
    platform text NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'LOCKED', 'REVOKED')),
    signing_key bytea NOT NULL,
    transport_key bytea NOT NULL,
    pin_key bytea NOT NULL,                       -- sealed
    push_target bytea,                            -- sealed
    certificate_sha256 bytea NOT NULL,
    attestation_format text NOT NULL,
    attestation_verdict text NOT NULL,
    attestation_object bytea NOT NULL,            -- sealed
    failures smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    bound_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, id),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id),
    FOREIGN KEY (relying_party, certificate_sha256) REFERENCES certificate (relying_party, sha256)
);
CREATE INDEX binding_of_subject ON binding (relying_party, subject_id, state);

CREATE TABLE nonce (
    relying_party tenant NOT NULL,
    binding_id uuid NOT NULL,
    sha256 bytea NOT NULL,
    seen_by uuid NOT NULL,                        -- which call saw it first
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, binding_id, sha256),
    FOREIGN KEY (relying_party, binding_id) REFERENCES binding (relying_party, id)
);
CREATE INDEX nonce_expiry ON nonce (relying_party, expires_at);

CREATE TABLE transaction (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    subject_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'authentication', 'authorisation', 'consent-signature', 'document-signature', 'text-signature')),
    state text NOT NULL CHECK (state IN ('REQUESTED', 'PENDING', 'APPROVED', 'COMPLETED', 'REJECTED',
        'EXPIRED', 'CANCELLED', 'FAILED', 'BLOCKED')),
    profile_id text NOT NULL,
    profile_document bytea NOT NULL,
    content bytea NOT NULL,                       -- sealed
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    binding_id uuid,
    claimed_at timestamptz,
    decided_at timestamptz,
    decision text CHECK (decision IN ('approved', 'rejected-not-me', 'rejected-cancelled')),
    assertion bytea,                              -- sealed
    evidence_id uuid,
    acr text,
    amr text[] NOT NULL DEFAULT '{}',
    failed_attempts smallint NOT NULL DEFAULT 0 CHECK (failed_attempts >= 0),
    request_index bytea NOT NULL CHECK (octet_length(request_index) = 32),  -- HMAC of the request id
    request_digest bytea NOT NULL,                -- sealed
    PRIMARY KEY (relying_party, id),
    UNIQUE (relying_party, request_index),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id),
    FOREIGN KEY (relying_party, binding_id) REFERENCES binding (relying_party, id),
    CHECK ((binding_id IS NULL) = (claimed_at IS NULL)),
    CHECK (CASE     -- never NULL: a constraint that is NULL holds
        WHEN state IN ('APPROVED', 'COMPLETED', 'FAILED') THEN decision IS NOT DISTINCT FROM 'approved'
        WHEN state = 'REJECTED' THEN decision IS NOT NULL AND decision <> 'approved'
        ELSE decision IS NULL END),
    CHECK ((decision IS NULL) = (decided_at IS NULL) AND (decision IS NULL) = (assertion IS NULL)
        AND (decision IS NULL) = (acr IS NULL) AND (decision IS NULL OR binding_id IS NOT NULL)),
    CHECK (evidence_id IS NULL OR state = 'COMPLETED'),
    -- what signs leaves evidence
    CHECK (state <> 'COMPLETED' OR evidence_id IS NOT NULL OR kind IN ('authentication', 'authorisation'))
);
CREATE INDEX transaction_waiting ON transaction (relying_party, subject_id, created_at)
    WHERE state IN ('REQUESTED', 'PENDING');
CREATE INDEX transaction_expiry ON transaction (relying_party, expires_at)
    WHERE state IN ('REQUESTED', 'PENDING');
CREATE INDEX transaction_unsealed ON transaction (relying_party, decided_at) WHERE state = 'APPROVED';

CREATE TABLE event (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    entity text NOT NULL CHECK (entity IN ('registration', 'binding', 'transaction')),
    entity_id uuid NOT NULL,
    name text NOT NULL CHECK (name ~ '^[A-Z]{1,20}$'),
    state text NOT NULL CHECK (state ~ '^[A-Z]{1,20}$'),    -- the one that it led to
    reason text NOT NULL CHECK (reason ~ '^[A-Za-z0-9_.-]{0,64}$'),
    at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, id)
);
CREATE INDEX event_of_entity ON event (relying_party, entity_id, id);

CREATE TABLE evidence (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    level text NOT NULL CHECK (level IN ('B-B', 'B-T', 'B-LT', 'B-LTA')),
    transaction_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    document bytea NOT NULL,                      -- sealed
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, id, level),
    UNIQUE (relying_party, transaction_id, level),
    FOREIGN KEY (relying_party, transaction_id) REFERENCES transaction (relying_party, id)
);

CREATE TABLE wake (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, id),
    FOREIGN KEY (relying_party, transaction_id) REFERENCES transaction (relying_party, id)
);
CREATE INDEX wake_due ON wake (relying_party, due_at);

-- The gateway's own: no tenant, nothing of a tenant's but what a CRL publishes.

CREATE TABLE revoked_certificate (
    issuer bytea NOT NULL,
    serial numeric(49) NOT NULL,
    revoked_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, serial)
);

CREATE TABLE crl (
    issuer bytea NOT NULL,
    number numeric(49) NOT NULL CHECK (number >= 0),     -- RFC 5280 5.2.3: up to 20 octets
    der bytea NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL CHECK (next_update > this_update),
    PRIMARY KEY (issuer, number)
);

CREATE TABLE lease (
    name text PRIMARY KEY,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['subject', 'subject_key', 'registration', 'certificate', 'binding', 'nonce',
        'transaction', 'event', 'evidence', 'wake']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_rows ON %I'
            ' USING (relying_party = current_setting(''gateway.relying_party'', true))'
            ' WITH CHECK (relying_party = current_setting(''gateway.relying_party'', true))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['event', 'evidence', 'certificate', 'revoked_certificate']
    LOOP
        EXECUTE format('CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER only_added', name);
    END LOOP;
END
$$;

GRANT SELECT, INSERT ON subject, subject_key, registration, certificate, binding, nonce, transaction, event,
    evidence, wake, revoked_certificate, crl, lease TO :"app_role";
GRANT DELETE ON subject_key, nonce, wake TO :"app_role";
GRANT UPDATE (attributes, failures) ON subject TO :"app_role";
GRANT UPDATE (state, failures, binding_id) ON registration TO :"app_role";
GRANT UPDATE (state, failures) ON binding TO :"app_role";
GRANT UPDATE (state, binding_id, claimed_at, decided_at, decision, assertion, evidence_id, acr, amr,
    failed_attempts) ON transaction TO :"app_role";
GRANT UPDATE (attempts, due_at) ON wake TO :"app_role";
GRANT UPDATE (holder, expires_at) ON lease TO :"app_role";
