-- +goose Up

-- When the time of an alarm came, or comes; "at" moves on with each attempt.
ALTER TABLE alarm ADD COLUMN since timestamptz NOT NULL DEFAULT now();
ALTER TABLE alarm ALTER COLUMN since DROP DEFAULT;
CREATE INDEX alarm_since ON alarm (since) WHERE NOT dead;

-- +goose Down
ALTER TABLE alarm DROP COLUMN since;
