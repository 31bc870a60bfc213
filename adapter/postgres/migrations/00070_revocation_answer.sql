-- +goose Up

-- By what certificates were judged: revocation lists and answers of OCSP as they
-- came, and the lists of several, each once by the digest that leaves of the
-- journal name ("revocation"). They are about certificates and hold no personal
-- data of messages. used is the last day (UTC) on which a row decided: the sweep
-- removes it when the messages and refusals of that day have gone, and never where
-- messages are kept for ever.
CREATE TABLE revocation_answer (
    digest     bytea NOT NULL PRIMARY KEY, -- SHA-256 of body as received
    kind       text NOT NULL,              -- crl, ocsp, list
    source     text NOT NULL,              -- the configured file or address
    made       timestamptz,                -- thisUpdate
    due        timestamptz,                -- nextUpdate
    used       date NOT NULL,
    codec      smallint NOT NULL,
    dictionary int NOT NULL,
    size       int NOT NULL,
    body       bytea NOT NULL
);
ALTER TABLE revocation_answer ALTER COLUMN body SET STORAGE EXTERNAL; -- compressed already

-- +goose Down
DROP TABLE revocation_answer;
