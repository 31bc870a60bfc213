package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// Client reads a log that somebody serves. It implements journal.TileSource and
// believes nothing: who uses it checks.
type Client struct {
	URL  string       // without "/checkpoint"
	HTTP *http.Client // with the client certificate of an auditor, where one is needed; nil means a plain one
	// Token, if set, goes out as a bearer token. It is sent only to URL.
	Token string
}

// maxBundle is the largest entry bundle possible.
const maxBundle = journal.TileWidth * (2 + journal.MaxLeaf)

// tries is how often a request is made that fails for a passing reason.
const tries = 4

// Checkpoint fetches the latest checkpoint as it is served.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.get(ctx, "checkpoint", journal.MaxCheckpoint)
}

// Stamped implements audit.StampSource.
func (c *Client) Stamped(ctx context.Context, entry int64) ([]byte, error) {
	path := "timestamp"
	if entry != journal.NoEntry {
		path += fmt.Sprintf("/%d", entry)
	}
	return c.get(ctx, path, journal.MaxStamped)
}

// Tile implements journal.TileSource. For an unfinished tile that the server no
// longer has, it fetches the finished one.
func (c *Client) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	data, err := c.get(ctx, journal.TilePath(level, n, width), maxBundle)
	if errors.Is(err, fs.ErrNotExist) && width < journal.TileWidth {
		return c.get(ctx, journal.TilePath(level, n, journal.TileWidth), maxBundle)
	}
	return data, err
}

// StatusError is an answer other than 200.
type StatusError struct {
	URL  string
	Code int
	Text string // beginning of the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.URL, e.Code, http.StatusText(e.Code), e.Text)
}

// Is makes a 404 an fs.ErrNotExist.
func (e *StatusError) Is(target error) bool { return target == fs.ErrNotExist && e.Code == 404 }

func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	url := strings.TrimSuffix(c.URL, "/") + "/" + path
	var last error
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Duration(100<<(2*try)) * time.Millisecond):
			}
		}
		data, again, err := c.once(ctx, url, limit)
		if err == nil || !again || ctx.Err() != nil {
			return data, err
		}
		last = err
	}
	return nil, last
}

// once makes one request; again says that it may be worth another.
func (c *Client) once(ctx context.Context, url string, limit int64) (data []byte, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, false, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		again := resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
		return nil, again, &StatusError{url, resp.StatusCode, strings.TrimSpace(string(text))}
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, true, err
	}
	if int64(len(data)) > limit {
		return nil, false, fmt.Errorf("%s: more than %d bytes", url, limit)
	}
	return data, false, nil
}
