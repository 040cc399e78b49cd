-- Failed tries leave an event each (RTS (EU) 2018/389 article 29), which is no news to the bank.
--
-- The law: as in 0003 and 0005. A bank that wants to know asks for a device's history; it is told of the lock
-- that the last failure leads to.

DROP TRIGGER put_callback ON event;
CREATE TRIGGER put_callback AFTER INSERT ON event FOR EACH ROW
    WHEN (NEW.state NOT IN ('REQUESTED', 'ISSUED', 'PENDING') AND NEW.name <> 'FAILTRY')
    EXECUTE FUNCTION put_callback();
