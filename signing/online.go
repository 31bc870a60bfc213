//go:build !offline

package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// httpClient is what asks revocation services.
type httpClient = http.Client

func newRevocationClient() *httpClient {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a revocation service may not redirect")
	}}
}

// getList opens a revocation list at an address.
func getList(ctx context.Context, client *httpClient, from string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	return resp.Body, nil
}

// postOCSP asks a responder.
func postOCSP(ctx context.Context, client *httpClient, url string, request []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("OCSP responder answered %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxOCSP))
}
