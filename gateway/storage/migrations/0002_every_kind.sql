-- Every kind of transaction: who started it, whether its decision leaves evidence, and whether the code of an
-- approval was redeemed.
--
-- The law: a code is redeemed once (RTS (EU) 2018/389 article 4(1)), by one request, which may be repeated. A
-- signed refusal leaves evidence as an approval does.

ALTER TABLE transaction
    ADD COLUMN channel text NOT NULL DEFAULT 'backend' CHECK (channel IN ('backend', 'app')),
    ADD COLUMN leaves_evidence boolean NOT NULL DEFAULT true,
    ADD COLUMN redeemed_at timestamptz,
    ADD COLUMN redeemed_by bytea CHECK (octet_length(redeemed_by) = 32),  -- HMAC of the request id
    ADD CHECK ((redeemed_at IS NULL) = (redeemed_by IS NULL) AND (redeemed_at IS NULL OR state = 'COMPLETED')),
    ADD CHECK (leaves_evidence OR kind IN ('authentication', 'authorisation')),
    ADD CHECK (evidence_id IS NULL OR state IN ('COMPLETED', 'REJECTED') AND leaves_evidence),
    ADD CHECK (state <> 'COMPLETED' OR (evidence_id IS NOT NULL) = leaves_evidence);

DO $$
DECLARE
    constraint_name text;
BEGIN
    -- Evidence was of approvals alone, and what left none was told by its kind.
    FOR constraint_name IN SELECT conname FROM pg_constraint
        WHERE conrelid = 'transaction'::regclass AND contype = 'c'
            AND (pg_get_constraintdef(oid) LIKE '%evidence_id IS NULL) OR (state = ''COMPLETED''%'
                OR pg_get_constraintdef(oid) LIKE '%(state <> ''COMPLETED''::text) OR (evidence_id IS NOT NULL) OR (kind%')
    LOOP
        EXECUTE format('ALTER TABLE transaction DROP CONSTRAINT %I', constraint_name);
    END LOOP;
END
$$;

DROP INDEX transaction_unsealed;
CREATE INDEX transaction_unsealed ON transaction (relying_party, decided_at)
    WHERE (state = 'APPROVED' OR state = 'REJECTED' AND leaves_evidence) AND evidence_id IS NULL;
CREATE INDEX transaction_of_subject ON transaction (relying_party, subject_id, created_at);

GRANT UPDATE (redeemed_at, redeemed_by) ON transaction TO :"app_role";
