-- +goose Up

-- Who has brought a file, and may change it until a message holds it: a session of
-- the FTP door, or an upload of the S3 door. Files from before are nobody's.
ALTER TABLE file ADD COLUMN session text NOT NULL DEFAULT '';

-- The parts of uploads that are not complete. They count as what their sender has
-- brought, each as often as it lies on the disk: once. n is 0 for the upload
-- itself; whoever changes an upload holds that row.
CREATE TABLE file_part (
    file    uuid NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    upload  text NOT NULL, -- secret: who knows it may bring and complete
    n       int NOT NULL,
    blob    text NOT NULL,
    size    bigint NOT NULL,
    sha256  bytea NOT NULL,
    changed timestamptz NOT NULL,
    PRIMARY KEY (file, upload, n)
);

-- The size of an entry without bytes was that of its parts. They are counted by
-- themselves now; those from before are swept.
UPDATE file SET size = 0 WHERE blob = '';

-- +goose Down
DROP TABLE file_part;
ALTER TABLE file DROP COLUMN session;
