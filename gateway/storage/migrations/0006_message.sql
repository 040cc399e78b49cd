-- Signed messages that were taken: each once, across workers, nodes and restarts.
--
-- The law is 0001's: keys begin with the relying party, each table shows the rows of one alone. A message is named by a
-- digest, so nothing of it stands here. :"app_role" is put in by migrate.

CREATE TABLE message (
    relying_party tenant NOT NULL,
    caller text NOT NULL CHECK (caller ~ '^[a-z0-9-]{1,40}$'),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    seen_by uuid NOT NULL,                        -- which call saw it first
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (relying_party, caller, sha256)
);
CREATE INDEX message_expiry ON message (relying_party, expires_at);

ALTER TABLE message ENABLE ROW LEVEL SECURITY;
ALTER TABLE message FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON message
    USING (relying_party = current_setting('gateway.relying_party', true))
    WITH CHECK (relying_party = current_setting('gateway.relying_party', true));

GRANT SELECT, INSERT, DELETE ON message TO :"app_role";
