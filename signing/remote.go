//go:build !offline

package signing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// maxRemoteAnswer bounds what is read of an answer.
const maxRemoteAnswer = 64 << 10

type remoteRequest struct {
	Key       string    `json:"key"`
	Algorithm Algorithm `json:"algorithm"`
	Octets    []byte    `json:"octets"`
}

type remoteAnswer struct {
	Value       []byte    `json:"value,omitempty"`
	Certificate []byte    `json:"certificate,omitempty"`
	Algorithm   Algorithm `json:"algorithm,omitempty"`
}

// remoteSigner asks another process to sign and checks what it gets.
type remoteSigner struct {
	src    RemoteSource
	client *http.Client
	cert   *Certificate
	method *method
}

// NewRemoteSigner connects to a remote signer. The certificate comes from a file,
// or, with an empty path, from the signer itself; an empty algorithm is the one
// that the signer or the certificate's key suggests.
func NewRemoteSigner(ctx context.Context, src RemoteSource, certificate string, algorithm Algorithm) (Signer, error) {
	if src.Timeout <= 0 {
		src.Timeout = 10 * time.Second
	}
	if err := checkRemoteURL(src.URL); err != nil {
		return nil, err
	}
	config, err := src.tls()
	if err != nil {
		return nil, err
	}
	s := &remoteSigner{src: src, client: &http.Client{
		Timeout:   src.Timeout,
		Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a remote signer may not redirect")
		},
	}}
	if certificate != "" {
		if s.cert, err = certificateFile(certificate); err != nil {
			return nil, err
		}
	} else {
		answer, err := s.ask(ctx, http.MethodGet, nil)
		if err != nil {
			return nil, fmt.Errorf("asking the remote signer for its certificate: %w", err)
		}
		if s.cert, err = ParseCertificate(answer.Certificate); err != nil {
			return nil, fmt.Errorf("certificate of the remote signer: %w", err)
		}
		if algorithm == "" {
			algorithm = answer.Algorithm
		}
	}
	if s.cert.key == nil {
		return nil, fmt.Errorf("certificate of the remote signer: %w", s.cert.keyErr)
	}
	if algorithm == "" {
		algorithm = defaultAlgorithm(s.cert.key.kind())
	}
	if s.method = methodByURI(string(algorithm)); s.method == nil || s.method.kind != s.cert.key.kind() {
		return nil, fmt.Errorf("algorithm %s does not fit a key %s", algorithm, s.cert.key)
	}
	return s, nil
}

func (s *remoteSigner) Certificate() *Certificate { return s.cert }
func (s *remoteSigner) Algorithm() Algorithm      { return s.method.uri }

// Sign asks for a signature and verifies it before it is used: a remote side with
// another key than the certificate's is found out here and not by our readers.
func (s *remoteSigner) Sign(ctx context.Context, octets []byte) ([]byte, error) {
	answer, err := s.ask(ctx, http.MethodPost, &remoteRequest{s.src.Key, s.method.uri, octets})
	if err != nil {
		return nil, fmt.Errorf("remote signer: %w", err)
	}
	if !s.cert.key.verify(s.method, digestOf(digestByURI(string(s.method.digest)), octets), answer.Value) {
		return nil, errors.New("remote signer: the value does not verify with the certificate; has the key been changed there?")
	}
	return answer.Value, nil
}

func (s *remoteSigner) ask(ctx context.Context, verb string, request *remoteRequest) (*remoteAnswer, error) {
	var body io.Reader
	if request != nil {
		data, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, verb, s.src.URL, body)
	if err != nil {
		return nil, err
	}
	if request == nil {
		q := req.URL.Query()
		q.Set("key", s.src.Key)
		req.URL.RawQuery = q.Encode()
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxRemoteAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.200q", resp.Status, data)
	}
	answer := new(remoteAnswer)
	if err := json.Unmarshal(data, answer); err != nil {
		return nil, fmt.Errorf("answer is not understood: %w", err)
	}
	return answer, nil
}

func (src *RemoteSource) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if src.CA != "" {
		data, err := os.ReadFile(src.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s has no certificate", src.CA)
		}
	}
	if (src.ClientKey == "") != (src.ClientCertificate == "") {
		return nil, errors.New("remote signer: client key and client certificate belong together")
	}
	if src.ClientKey != "" {
		if _, err := readSecret(src.ClientKey); err != nil {
			return nil, err
		}
		pair, err := tls.LoadX509KeyPair(src.ClientCertificate, src.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("remote signer: client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// RemoteHandler is the other side of RemoteSource over Signers of this process,
// by name: the reference for those who put a certified tool behind the protocol.
// Who may ask is the TLS configuration's to say (client certificates).
func RemoteHandler(keys map[string]Signer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req remoteRequest
		switch r.Method {
		case http.MethodGet:
			req.Key = r.URL.Query().Get("key")
		case http.MethodPost:
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRemoteAnswer)).Decode(&req); err != nil {
				http.Error(w, "request is not understood", http.StatusBadRequest)
				return
			}
		default:
			http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
			return
		}
		s, ok := keys[req.Key]
		if !ok {
			http.Error(w, "no such key", http.StatusNotFound)
			return
		}
		answer := remoteAnswer{Certificate: s.Certificate().DER, Algorithm: s.Algorithm()}
		if r.Method == http.MethodPost {
			if req.Algorithm != s.Algorithm() {
				http.Error(w, "the key does not sign with this algorithm", http.StatusUnprocessableEntity)
				return
			}
			value, err := s.Sign(r.Context(), req.Octets)
			if err != nil {
				http.Error(w, "the key did not sign", http.StatusInternalServerError)
				return
			}
			answer = remoteAnswer{Value: value}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	})
}

// checkRemoteURL takes https anywhere, and http only to this machine: what is
// signed, and that it is signed, is nobody else's to see or change.
func checkRemoteURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("remote signer: %w", err)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Scheme == "https" && host != "":
		return nil
	case u.Scheme == "http" && local:
		return nil
	}
	return fmt.Errorf("remote signer %q: https is needed, or http to a loopback address", raw)
}
