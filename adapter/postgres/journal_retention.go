package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Retention keeps the journal to a policy: values are forgotten by class, whole
// months at a time, and entries are archived. Hash tiles, checkpoints and totals
// stay for ever, so proofs outlive what they prove. The zero value keeps
// everything.
type Retention struct {
	Journal *Journal
	Keep    map[string]time.Duration // by retention class; a class that is not named is kept
	Ground  string                   // the legal ground, as the journal will show it
	Archive time.Duration            // entries older than this go to Dir; 0 keeps them
	Dir     string                   // of the archive, in the layout of tlog-tiles
	Now     func() time.Time
	Log     *slog.Logger
	Every   time.Duration // between passes; 0 means 6 h
}

// minArchive is longer than any message is on its way: an entry names the one
// before it, which must still be found in the table.
const minArchive = 45 * 24 * time.Hour

// check refuses a policy that could not be carried out, all its mistakes at once.
func (r *Retention) check() error {
	var all []error
	if len(r.Keep) > 0 && r.Ground == "" {
		all = append(all, errors.New("retention: forgetting values needs a ground"))
	}
	for _, class := range slices.Sorted(maps.Keys(r.Keep)) {
		if r.Keep[class] < 24*time.Hour {
			all = append(all, fmt.Errorf("retention: class %s is kept for %s: less than a day is a mistake", class, r.Keep[class]))
		}
	}
	if r.Archive != 0 && r.Archive < minArchive {
		all = append(all, fmt.Errorf("retention: entries may be archived after %s, not after %s: a message that is still on its way would lose its chain", minArchive, r.Archive))
	}
	if r.Archive > 0 && r.Dir == "" {
		all = append(all, errors.New("retention: archiving needs a directory"))
	}
	return errors.Join(all...)
}

// Run carries the policy out until ctx ends. A pass that fails is logged and
// tried again with the next. The error is a mistake in the policy.
func (r *Retention) Run(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	every := r.Every
	if every == 0 {
		every = 6 * time.Hour
	}
	for {
		if err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("journal: retention", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// Once is one pass. Doing it again does nothing more.
func (r *Retention) Once(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	var all []error
	now := r.Now()
	for _, class := range slices.Sorted(maps.Keys(r.Keep)) {
		gone, err := r.Journal.Forget(ctx, class, now.Add(-r.Keep[class]), r.Ground, now)
		if len(gone) > 0 {
			r.Log.Info("journal: values were forgotten", "class", class, "keys", gone)
		}
		all = append(all, err)
	}
	if r.Archive > 0 {
		n, err := r.Journal.Archive(ctx, now.Add(-r.Archive), r.Dir)
		if n > 0 {
			r.Log.Info("journal: entries were archived", "entries", n, "dir", r.Dir)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}
