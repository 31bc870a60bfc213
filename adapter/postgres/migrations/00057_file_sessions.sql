-- +goose Up

-- A folder holds what was brought into it, by each session its own; the digest in a
-- message says which is meant. An entry's id is that of the folder for the first one,
-- and random for the others. Who has brought a file may change it until a message
-- holds it: a session of the FTP door, or an upload of the S3 door. Files from before
-- are nobody's.
ALTER TABLE file ADD COLUMN folder uuid, -- null, from before: as id
    ADD COLUMN session text NOT NULL DEFAULT '';
CREATE INDEX file_folder ON file ((coalesce(folder, id)));

-- The parts of uploads that are not complete. They count as what their sender has
-- brought, each as often as it lies on the disk: once. n is 0 for the upload
-- itself; whoever changes an upload holds that row.
CREATE TABLE file_part (
    folder  uuid NOT NULL,
    upload  text NOT NULL, -- secret: who knows it may bring and complete
    n       int NOT NULL,
    owner   text NOT NULL,
    blob    text NOT NULL,
    size    bigint NOT NULL,
    sha256  bytea NOT NULL,
    changed timestamptz NOT NULL,
    PRIMARY KEY (folder, upload, n)
);

-- The size of an entry without bytes was that of its parts. They are counted by
-- themselves now; those from before are swept.
UPDATE file SET size = 0 WHERE blob = '';

-- +goose Down
DROP TABLE file_part;
DELETE FROM file WHERE folder <> id AND NOT EXISTS (SELECT FROM message_file WHERE file = id);
ALTER TABLE file DROP COLUMN folder, DROP COLUMN session;
