package postgres_test

import (
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// A host that takes connections and says nothing stands first in the address, as it
// does when its machine has died: it is asked now and then by one connection, and
// the others go at once to the host that is there.
func TestADeadHostIsAskedByOneAtATime(t *testing.T) {
	t.Parallel()
	url := embedded.Test(t, postgres.Migrate)
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := adaptertest.NewProxy("unix", filepath.Join(c.Host, fmt.Sprintf(".s.PGSQL.%d", c.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	var asked atomic.Int64
	go func() {
		for {
			c, err := dead.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			asked.Add(1)
		}
	}()
	store, err := postgres.Open(t.Context(), postgres.Options{
		URL: fmt.Sprintf("postgres://%s@%s,%s/%s?sslmode=disable&connect_timeout=2&target_session_attrs=read-write", c.User, dead.Addr(), alive.Address(), c.Database),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	before, began := asked.Load(), time.Now()
	var calls sync.WaitGroup
	for range 12 {
		calls.Go(func() {
			for range 20 {
				if _, err := store.Time(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	// One at a time, each for some seconds, from each of the two pools.
	if most := 2 * int64(2+time.Since(began)/(2*time.Second)); asked.Load()-before > most {
		t.Errorf("the dead host was asked %d times meanwhile, want at most %d", asked.Load()-before, most)
	}
}
