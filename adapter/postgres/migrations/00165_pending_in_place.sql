-- +goose Up

-- What tells of accepts, polls and acknowledgements is packed and sealed: to try to
-- compress it takes the server as long as to write it, and gains nothing. So these rows
-- have few enough events to stay in their place on a page as they are (waitInPlaceSQL), and go with
-- it: kept apart, in pieces of two kilobytes with an index, they took as long to remove as
-- to write. Larger rows, of which a relay's are alike within, are compressed as before.
ALTER TABLE journal_pending SET (toast_tuple_target = 4080);

-- +goose Down
ALTER TABLE journal_pending RESET (toast_tuple_target);
