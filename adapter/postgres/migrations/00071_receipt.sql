-- +goose Up

-- What proves deliveries and acknowledgements besides our own word: the signed poll
-- with the signed answer that was handed out for it (step 1), and the signed Ack
-- (step 2), as woven texts (weave.go): what of them stands in the message, in its
-- reply address or in the row of dictionary is not stored again. The entries of the
-- journal commit to their digests. A row goes with its message: in the partition of
-- the same day, which is dropped with it, and its bytes with its content.
CREATE TABLE receipt (
    message    uuid NOT NULL,
    queue      int NOT NULL,      -- queue_name.id
    attempt    int NOT NULL,      -- of the delivery
    step       smallint NOT NULL, -- 1: delivered, 2: acknowledged
    codec      smallint NOT NULL, -- as of message; the receipt is woven in any case
    dictionary int NOT NULL,      -- dictionary.id of the first cloth
    size       int NOT NULL,      -- bytes of the envelopes
    body       bytea NOT NULL
) PARTITION BY RANGE (message);
CREATE INDEX receipt_message ON receipt (message);
ALTER TABLE receipt ALTER COLUMN body SET STORAGE EXTERNAL; -- as small as it gets
CREATE TABLE receipt_default PARTITION OF receipt DEFAULT;

-- +goose Down
DROP TABLE receipt;
