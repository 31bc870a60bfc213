-- +goose Up

-- Which values stand in which stretch of 1024 entries. A value comes again and
-- again in one stretch, so this is a few rows where an index would have a
-- thousand, and keeping it costs next to nothing.
CREATE TABLE journal_term (
    dim   text NOT NULL,   -- a column of journal_entry: sender, recipient, service, kind, outcome
    value text NOT NULL,
    chunk bigint NOT NULL, -- idx / 1024
    PRIMARY KEY (dim, value, chunk)
);
CREATE INDEX journal_term_chunk ON journal_term USING brin (chunk) WITH (pages_per_range = 16, autosummarize = on); -- rows come in its order
INSERT INTO journal_term (dim, value, chunk)
    SELECT DISTINCT d.dim, d.value, e.idx / 1024 FROM journal_entry e,
        LATERAL (VALUES ('sender', e.sender), ('recipient', e.recipient), ('service', e.service), ('kind', e.kind), ('outcome', e.outcome)) d (dim, value)
    WHERE d.value <> '';
DROP INDEX journal_entry_sender, journal_entry_recipient, journal_entry_service, journal_entry_outcome, journal_entry_kind;

-- Where in its day a combination stands, first and last. Of entries that were
-- archived nobody knows it any more; nobody looks for them here either.
ALTER TABLE journal_total ADD COLUMN first bigint NOT NULL DEFAULT -1, ADD COLUMN last bigint NOT NULL DEFAULT -1;
UPDATE journal_total t SET first = s.first, last = s.last FROM (
    SELECT (logged AT TIME ZONE 'UTC')::date AS day, kind, sender, recipient, service, version, outcome, min(idx) AS first, max(idx) AS last
    FROM journal_entry GROUP BY 1, 2, 3, 4, 5, 6, 7) s
WHERE (t.day, t.kind, t.sender, t.recipient, t.service, t.version, t.outcome) = (s.day, s.kind, s.sender, s.recipient, s.service, s.version, s.outcome);
ALTER TABLE journal_total ALTER COLUMN first DROP DEFAULT, ALTER COLUMN last DROP DEFAULT;

-- The totals speak of the entries below this one. They are brought up to date
-- now and then, many entries at a time: with each batch it would be the dearest
-- part of it.
ALTER TABLE journal_head ADD COLUMN rolled bigint NOT NULL DEFAULT 0;
UPDATE journal_head SET rolled = size;

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON journal_term TO mezhved_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
INSERT INTO journal_total AS t (day, kind, sender, recipient, service, version, outcome, entries, first, last)
    SELECT (logged AT TIME ZONE 'UTC')::date, kind, sender, recipient, service, version, outcome, count(*), min(idx), max(idx)
    FROM journal_entry WHERE idx >= (SELECT rolled FROM journal_head) GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (day, kind, sender, recipient, service, version, outcome) DO UPDATE SET entries = t.entries + excluded.entries;
ALTER TABLE journal_head DROP COLUMN rolled;
ALTER TABLE journal_total DROP COLUMN first, DROP COLUMN last;
DROP TABLE journal_term;
CREATE INDEX journal_entry_sender ON journal_entry (sender, idx) WHERE sender <> '';
CREATE INDEX journal_entry_recipient ON journal_entry (recipient, idx) WHERE recipient <> '';
CREATE INDEX journal_entry_service ON journal_entry (service, version, idx) WHERE service <> '';
CREATE INDEX journal_entry_outcome ON journal_entry (outcome, idx) WHERE outcome NOT IN ('', 'ok');
CREATE INDEX journal_entry_kind ON journal_entry (kind, idx)
    WHERE kind NOT IN ('accepted', 'routed', 'queued', 'delivered', 'acknowledged', 'answered');
