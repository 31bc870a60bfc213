-- +goose Up

-- A MessageID is used once on the bus within its shelf life, whoever uses it: an
-- Ack names a message by it alone. Whose it is stands beside, so that a
-- repetition by the same sender is told from another sender's message even when
-- retention was quicker than the key. sweepDedup removes keys that are older
-- than the store's DedupLife.
CREATE TABLE used_id (
    key    bytea NOT NULL PRIMARY KEY, -- first half of SHA-256 of the MessageID
    id     uuid NOT NULL,              -- message.id
    sender text NOT NULL
) PARTITION BY HASH (key);
-- +goose StatementBegin
DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format('CREATE TABLE used_id_%s PARTITION OF used_id FOR VALUES WITH (MODULUS 16, REMAINDER %s)', n, n);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Before this, a MessageID was unique by sender, in dedup, where nodes of before
-- still write while the nodes are upgraded one after another. What they take is
-- taken for all from here on: the trigger sees their messages (it runs when their
-- statement is done) and undoes what collides with anybody's, a repetition of
-- what a newer node has accepted included. Their caller hears "unavailable",
-- sends again, and is answered truly by a newer node. Newer nodes do not touch
-- dedup and pay nothing. Creating the trigger waits for the accepts that are
-- under way, so each of them has either fired it or is seen by the next migration.
-- +goose StatementBegin
CREATE FUNCTION dedup_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO used_id (key, id, sender)
    SELECT substring(sha256(convert_to(message_id, 'UTF8')) FOR 16), id, sender FROM message WHERE id = NEW.id
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the MessageID of message % is in use on the bus', NEW.id USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER dedup_claims AFTER INSERT ON dedup FOR EACH ROW EXECUTE FUNCTION dedup_claim();

-- +goose Down
DROP TRIGGER dedup_claims ON dedup;
DROP FUNCTION dedup_claim;
DROP TABLE used_id;
