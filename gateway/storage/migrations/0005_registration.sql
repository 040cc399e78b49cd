-- Registration and activation, whole: artifacts, replaced and lost devices, notices, client versions.
--
-- The law is 0001's: keys begin with the relying party, each table shows the rows of one alone, and what is
-- sealed is sealed under the subject's own key. An artifact and a recovery code stand here as a digest only.
-- :"app_role" is put in by migrate.

ALTER TABLE registration
    ADD COLUMN purpose text NOT NULL DEFAULT 'new-device'
        CHECK (purpose IN ('new-device', 're-activation', 'recovery')),
    ADD COLUMN artifact_sha256 bytea CHECK (octet_length(artifact_sha256) = 32),
    ADD COLUMN activation_digest bytea,           -- sealed: of the request that activated
    DROP CONSTRAINT registration_state_check,
    ADD CONSTRAINT registration_state_check
        CHECK (state IN ('ISSUED', 'PENDING', 'ACTIVATED', 'EXPIRED', 'BLOCKED')),
    ADD CHECK (state <> 'ISSUED' OR artifact_sha256 IS NOT NULL),
    ADD UNIQUE (relying_party, artifact_sha256);

ALTER TABLE binding
    ADD COLUMN client_name text CHECK (client_name ~ '^[A-Za-z0-9._-]{1,64}$'),
    ADD COLUMN client_version text CHECK (client_version ~ '^[0-9]{1,9}([.][0-9]{1,9}){0,3}$'),
    ADD CHECK ((client_name IS NULL) = (client_version IS NULL));

-- The newest recovery code of a subject, and no other.
CREATE TABLE recovery (
    relying_party tenant NOT NULL,
    subject_id uuid NOT NULL,
    id uuid NOT NULL,                             -- of this code: who spends it names it
    digest bytea NOT NULL,                        -- sealed
    created_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, subject_id),
    FOREIGN KEY (relying_party, subject_id) REFERENCES subject (relying_party, id)
);

-- What one device is told about another.
CREATE TABLE notice (
    relying_party tenant NOT NULL,
    binding_id uuid NOT NULL,                     -- who is told
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('new-device')),
    about_id uuid NOT NULL,
    at timestamptz NOT NULL,
    seen_at timestamptz,
    PRIMARY KEY (relying_party, binding_id, id),
    FOREIGN KEY (relying_party, binding_id) REFERENCES binding (relying_party, id),
    FOREIGN KEY (relying_party, about_id) REFERENCES binding (relying_party, id)
);

-- A wake-up is for a transaction, and then for all devices of its subject, or for one device's notices.
ALTER TABLE wake
    ALTER COLUMN transaction_id DROP NOT NULL,
    ADD COLUMN binding_id uuid,
    ADD FOREIGN KEY (relying_party, binding_id) REFERENCES binding (relying_party, id),
    ADD CHECK ((transaction_id IS NULL) <> (binding_id IS NULL));

-- 0003's trigger: an artifact that is issued only begins, too.
DROP TRIGGER put_callback ON event;
CREATE TRIGGER put_callback AFTER INSERT ON event FOR EACH ROW
    WHEN (NEW.state NOT IN ('REQUESTED', 'ISSUED', 'PENDING')) EXECUTE FUNCTION put_callback();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['recovery', 'notice']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_rows ON %I'
            ' USING (relying_party = current_setting(''gateway.relying_party'', true))'
            ' WITH CHECK (relying_party = current_setting(''gateway.relying_party'', true))', name);
    END LOOP;
END
$$;

GRANT SELECT, INSERT ON recovery, notice TO :"app_role";
GRANT UPDATE (id, digest, created_at) ON recovery TO :"app_role";
GRANT DELETE ON recovery TO :"app_role";
GRANT UPDATE (seen_at) ON notice TO :"app_role";
GRANT UPDATE (expires_at, activation_digest) ON registration TO :"app_role";
GRANT UPDATE (client_name, client_version) ON binding TO :"app_role";
