-- +goose Up

-- The index of the file store: which file is where on the disk, and whose it is.
-- The bytes are written before their row and removed after it, so what a row
-- names is there; what no row names is swept.
CREATE TABLE file (
    id      uuid NOT NULL PRIMARY KEY, -- the folder, as its sender named it
    owner   text NOT NULL,             -- who may change it
    name    text NOT NULL,
    blob    text NOT NULL,             -- name of the bytes in the folder; empty: none yet
    size    bigint NOT NULL,
    gost    bytea NOT NULL,            -- empty: not whole
    sha256  bytea NOT NULL,
    changed timestamptz NOT NULL,      -- -infinity: its messages have gone, and so may it
    UNIQUE (id, gost)
);
CREATE INDEX file_changed ON file (changed);
CREATE INDEX file_owner ON file (owner);

-- The files of each message that waits. The digest is part of the reference: a
-- file that was replaced while its message was accepted is not the one that was
-- compared, and the message is refused.
CREATE TABLE message_file (
    message uuid NOT NULL,
    n       int NOT NULL,
    file    uuid NOT NULL,
    gost    bytea NOT NULL,
    size    bigint NOT NULL,
    sender  text NOT NULL,
    PRIMARY KEY (message, n),
    CONSTRAINT message_file_file FOREIGN KEY (file, gost) REFERENCES file (id, gost)
);
CREATE INDEX message_file_file ON message_file (file, gost);
CREATE INDEX message_file_sender ON message_file (sender);

-- Where a message with files has still to be taken from. When the last row has
-- gone, the message lets go of its files.
CREATE TABLE file_awaited (
    message    uuid NOT NULL,
    queue      int NOT NULL,
    message_id text NOT NULL,
    PRIMARY KEY (message, queue)
);
CREATE INDEX file_awaited_queue ON file_awaited (queue);

-- Accounts that deliveries gave to their readers. They are good while the
-- message stands in the queue.
CREATE TABLE file_login (
    name    text NOT NULL PRIMARY KEY,
    secret  bytea NOT NULL, -- SHA-256
    message uuid NOT NULL,
    queue   int NOT NULL,
    until   timestamptz NOT NULL
);
CREATE INDEX file_login_until ON file_login (until);
CREATE INDEX file_login_message ON file_login (message, queue);

-- +goose Down
DROP TABLE file_login, file_awaited, message_file, file;
