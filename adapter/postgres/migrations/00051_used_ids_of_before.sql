-- +goose Up

-- The MessageIDs that are remembered already, each for the first message that
-- had it. Where two senders had the same one, the second keeps its message, and
-- a repetition of it is still answered with its receipt: it is found among the
-- messages. A transaction of its own, because it reads as much as a week has
-- brought, and accepts go on meanwhile. dedup empties by the sweep.
INSERT INTO used_id (key, id, sender)
SELECT substring(sha256(convert_to(m.message_id, 'UTF8')) FOR 16), m.id, m.sender FROM dedup d JOIN message m USING (id) ORDER BY m.id
ON CONFLICT DO NOTHING;

-- +goose Down
SELECT 1;
