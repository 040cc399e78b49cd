-- The outbox of callbacks.
--
-- The law: an event that a bank can be told of leaves its entry in the very statement that records it, so
-- there is none without the other. Entries of one entity are numbered as its events happened: whoever records
-- an event holds the row of its entity, so the count sees every event before it. Which events a bank wants,
-- and when they are sent, is left to the worker. Rows and setting are as 0001 says.

CREATE TABLE callback (
    relying_party tenant NOT NULL,
    event_id uuid NOT NULL,
    entity_id uuid NOT NULL,
    sequence integer NOT NULL,                    -- the event's place among those of its entity, from 1
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    died_at timestamptz,                          -- when it was given up
    PRIMARY KEY (relying_party, event_id),
    FOREIGN KEY (relying_party, event_id) REFERENCES event (relying_party, id)
);
CREATE INDEX callback_due ON callback (relying_party, due_at) WHERE died_at IS NULL;
CREATE INDEX callback_of_entity ON callback (relying_party, entity_id, sequence) WHERE died_at IS NULL;
CREATE INDEX callback_dead ON callback (relying_party) WHERE died_at IS NOT NULL;

ALTER TABLE callback ENABLE ROW LEVEL SECURITY;
ALTER TABLE callback FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON callback
    USING (relying_party = current_setting('gateway.relying_party', true))
    WITH CHECK (relying_party = current_setting('gateway.relying_party', true));

CREATE FUNCTION put_callback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO callback (relying_party, event_id, entity_id, sequence, due_at)
    SELECT NEW.relying_party, NEW.id, NEW.entity_id, count(*), NEW.at FROM event e
    WHERE e.relying_party = NEW.relying_party AND e.entity_id = NEW.entity_id;
    RETURN NULL;
END
$$;

-- What only begins is no news to the bank that began it.
CREATE TRIGGER put_callback AFTER INSERT ON event FOR EACH ROW
    WHEN (NEW.state NOT IN ('REQUESTED', 'PENDING')) EXECUTE FUNCTION put_callback();

GRANT SELECT, INSERT, DELETE ON callback TO :"app_role";
GRANT UPDATE (attempts, due_at, died_at) ON callback TO :"app_role";
