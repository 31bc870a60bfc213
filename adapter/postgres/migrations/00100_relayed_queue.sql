-- +goose Up

-- Whether messages of a queue are on the bus that the intake is to bring there: a relay
-- that puts messages into their queues itself must not overtake them. relayed is nearly
-- empty wherever it does.
CREATE INDEX relayed_queue ON relayed (queue);

-- +goose Down
DROP INDEX relayed_queue;
