package clerk

import (
	"context"
	"fmt"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Reopen continues a log whose old signer refuses, or whose key is given up,
// under the origin and key of signer. It appends a key-changed entry that says
// where the old log ended (old, as its signer or its last published checkpoint
// has it), raises the epoch and lifts the stop. A log that is already of that
// origin is left alone, and stays stopped when it was (StoppedError).
func Reopen(ctx context.Context, book Book, signer Signer, old tlog.Tree, now time.Time) error {
	return book.Sequence(ctx, 0, func(tx Tx) error {
		head, err := tx.Head(ctx)
		switch {
		case err != nil:
			return err
		case head.Origin == signer.Origin() && head.Stopped != "":
			return &StoppedError{head.Stopped}
		case head.Origin == signer.Origin():
			return nil
		}
		edge, err := journal.LoadEdge(ctx, head.Tree, tx)
		if err != nil {
			return err
		}
		now = now.UTC().Truncate(time.Millisecond)
		if now.Before(head.Logged) {
			now = head.Logged
		}
		l := &journal.Leaf{Event: journal.Event{Kind: journal.KindKeyChanged, Time: now, Log: &journal.LogChange{
			Origin: signer.Origin(), Key: signer.Key(), OldOrigin: head.Origin, OldSize: old.N, OldRoot: rootText(old.Hash)}},
			Prev: journal.NoEntry, Logged: now}
		bytes := l.Append(nil)
		if len(bytes) > journal.MaxLeaf {
			return fmt.Errorf("the new origin %q is too long", signer.Origin())
		}
		next := head
		next.Totals = map[journal.Kind]int64{journal.KindKeyChanged: head.Totals[journal.KindKeyChanged] + 1}
		for k, n := range head.Totals {
			if k != journal.KindKeyChanged {
				next.Totals[k] = n
			}
		}
		if head.Tree.N == 0 {
			next.PeriodStart = now
		}
		edge.Append(tlog.RecordHash(bytes))
		next.Origin, next.Epoch, next.Stopped, next.Logged = signer.Origin(), head.Epoch+1, "", now
		next.Tree = tlog.Tree{N: edge.Size(), Hash: edge.Root()}
		return tx.Write(ctx, &Batch{Was: head, Head: next, Entries: []Entry{{head.Tree.N, l, bytes}}, Tiles: edge.Take()})
	})
}
