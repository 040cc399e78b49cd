-- Managing devices: locks with their reason, methods that are locked alone, and PIN resets.
--
-- The law: as in 0001. What is locked says why, so that nobody but the bank lifts what the bank has locked.
-- The PIN's key can be replaced; pin_version tells one from the next. A PIN reset's code is derived from its
-- id and stands nowhere.

ALTER TABLE binding
    ADD COLUMN lock_reason text CHECK (lock_reason ~ '^[a-z-]{1,64}$'),
    ADD COLUMN locked_methods text[] NOT NULL DEFAULT '{}' CHECK (locked_methods <@ '{pin}'),
    ADD COLUMN pin_version integer NOT NULL DEFAULT 0;

ALTER TABLE binding NO FORCE ROW LEVEL SECURITY;    -- of all tenants, once
UPDATE binding SET lock_reason = 'failures' WHERE state = 'LOCKED';     -- nothing else could lock before
ALTER TABLE binding FORCE ROW LEVEL SECURITY;
ALTER TABLE binding ADD CHECK ((state = 'LOCKED') = (lock_reason IS NOT NULL));

CREATE INDEX transaction_of_binding ON transaction (relying_party, binding_id, decided_at);

CREATE TABLE pin_reset (
    relying_party tenant NOT NULL,
    id uuid NOT NULL,
    binding_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'COMPLETED', 'BLOCKED', 'CANCELLED')),
    failures smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    request_index bytea NOT NULL CHECK (octet_length(request_index) = 32),  -- HMAC of the request id
    request_digest bytea NOT NULL,                -- sealed
    PRIMARY KEY (relying_party, id),
    UNIQUE (relying_party, request_index),
    FOREIGN KEY (relying_party, binding_id) REFERENCES binding (relying_party, id),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id)
);
CREATE INDEX pin_reset_pending ON pin_reset (relying_party, binding_id) WHERE state = 'PENDING';

ALTER TABLE pin_reset ENABLE ROW LEVEL SECURITY;
ALTER TABLE pin_reset FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON pin_reset
    USING (relying_party = current_setting('gateway.relying_party', true))
    WITH CHECK (relying_party = current_setting('gateway.relying_party', true));

GRANT SELECT, INSERT ON pin_reset TO :"app_role";
GRANT UPDATE (state, failures) ON pin_reset TO :"app_role";
GRANT UPDATE (name, pin_key, pin_version, lock_reason, locked_methods) ON binding TO :"app_role";
