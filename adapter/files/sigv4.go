package files

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature Version 4 of AWS, as S3 uses it: in the header Authorization, over
// the whole payload, over none of it, or over each chunk of it. Signatures in
// query strings (presigned addresses) are not taken.

const (
	sigAlgorithm  = "AWS4-HMAC-SHA256"
	sigTime       = "20060102T150405Z"
	sigSkew       = 15 * time.Minute
	payloadOpen   = "UNSIGNED-PAYLOAD"
	payloadChunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	trailerSuffix = "-TRAILER"
	openTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// sigError is a request whose signature cannot be taken; code is S3's word for it.
type sigError struct{ code, why string }

func (e *sigError) Error() string { return e.why }

// sigV4 is what a request says of its signature.
type sigV4 struct {
	accessKey string
	scope     string // date/region/service/aws4_request
	signed    []string
	signature []byte
	when      time.Time
	payload   string // x-amz-content-sha256
	key       []byte // of signing, once verified; nil: the secret is not known, and nothing was verified
}

// readSigV4 reads the header; it proves nothing.
func readSigV4(r *http.Request, now time.Time) (*sigV4, error) {
	malformed := &sigError{"AuthorizationHeaderMalformed", "a header Authorization of AWS4-HMAC-SHA256 is expected"}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), sigAlgorithm+" ")
	if !ok {
		if r.Header.Get("Authorization") == "" {
			return nil, &sigError{"AccessDenied", "the request is not signed"}
		}
		return nil, malformed
	}
	s := &sigV4{payload: r.Header.Get("X-Amz-Content-Sha256")}
	var credential, signature string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signed = strings.Split(value, ";")
		case "Signature":
			signature = value
		}
	}
	var err error
	s.signature, err = hex.DecodeString(signature)
	parts := strings.Split(credential, "/")
	if err != nil || len(parts) < 5 || parts[len(parts)-1] != "aws4_request" || parts[len(parts)-2] != "s3" || !slices.Contains(s.signed, "host") || !distinct(s.signed) {
		return nil, malformed
	}
	s.accessKey, s.scope = strings.Join(parts[:len(parts)-4], "/"), strings.Join(parts[len(parts)-4:], "/")
	if s.when, err = time.Parse(sigTime, r.Header.Get("X-Amz-Date")); err != nil || s.when.Format("20060102") != parts[len(parts)-4] {
		return nil, &sigError{"AccessDenied", "a header X-Amz-Date is expected that agrees with the scope"}
	}
	if now.Sub(s.when).Abs() > sigSkew {
		return nil, &sigError{"RequestTimeTooSkewed", "the clocks differ by more than 15 minutes"}
	}
	if s.payload == "" {
		return nil, &sigError{"InvalidRequest", "a header X-Amz-Content-Sha256 is expected"}
	}
	return s, nil
}

// distinct: no header is named twice. What is digested has the value of a header wherever
// its name stands: of the 32 KB of a request half a name's repetitions and half its value
// would be a hundred megabytes, before anything is proved.
func distinct(headers []string) bool {
	names := strings.Split(strings.ToLower(strings.Join(headers, ";")), ";")
	slices.Sort(names)
	return len(slices.Compact(names)) == len(headers)
}

// verify proves that the holder of the secret made the request.
func (s *sigV4) verify(r *http.Request, secret string) error {
	parts := strings.Split(s.scope, "/")
	key := []byte("AWS4" + secret)
	for _, p := range parts {
		key = mac(key, p)
	}
	canonical := canonicalRequest(r, s.signed, s.payload)
	sum := sha256.Sum256([]byte(canonical))
	want := mac(key, strings.Join([]string{sigAlgorithm, s.when.Format(sigTime), s.scope, hex.EncodeToString(sum[:])}, "\n"))
	if !hmac.Equal(want, s.signature) {
		return &sigError{"SignatureDoesNotMatch", "the signature is not the one of this request and this secret key"}
	}
	s.key = key
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

func canonicalRequest(r *http.Request, signed []string, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + awsEscape(r.URL.Path, true) + "\n")
	var pairs []string
	query, _ := url.ParseQuery(r.URL.RawQuery)
	for name, values := range query {
		for _, v := range values {
			pairs = append(pairs, awsEscape(name, false)+"="+awsEscape(v, false))
		}
	}
	slices.Sort(pairs)
	b.WriteString(strings.Join(pairs, "&") + "\n")
	for _, name := range signed {
		var value string
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		default:
			values := slices.Clone(r.Header.Values(name))
			for i := range values {
				values[i] = strings.Join(strings.Fields(values[i]), " ")
			}
			value = strings.Join(values, ",")
		}
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

// awsEscape escapes all but the unreserved characters of RFC 3986.
func awsEscape(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' || path && c == '/' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// errPayload says that the body is not what was signed, or not all of it.
var errPayload = &sigError{"XAmzContentSHA256Mismatch", "the body is not the one that was signed, or not all of it"}

// body gives the payload. It fails at the end, or at the end of a chunk, when that
// is not what was signed: what was read until then must not be kept.
func (s *sigV4) body(r *http.Request) (io.Reader, error) {
	switch {
	case s.payload == payloadOpen:
		return r.Body, nil
	case s.payload == payloadChunks, s.payload == payloadChunks+trailerSuffix, s.payload == openTrailer:
		length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
		if err != nil || length < 0 {
			return nil, &sigError{"MissingContentLength", "a header X-Amz-Decoded-Content-Length is expected"}
		}
		c := &chunked{in: bufio.NewReaderSize(r.Body, 64<<10), length: length}
		if s.payload != openTrailer {
			c.signer, c.previous = s, hex.EncodeToString(s.signature)
		}
		return c, nil
	}
	want, err := hex.DecodeString(s.payload)
	if err != nil || len(want) != sha256.Size {
		return nil, &sigError{"InvalidRequest", "X-Amz-Content-Sha256 says nothing that is known here"}
	}
	return &summed{in: r.Body, sum: sha256.New(), want: want}, nil
}

// summed holds a body against its digest.
type summed struct {
	in   io.Reader
	sum  hash.Hash
	want []byte
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && !bytes.Equal(s.sum.Sum(nil), s.want) {
		return n, errPayload
	}
	return n, err
}

// chunked reads the encoding aws-chunked.
type chunked struct {
	in     *bufio.Reader
	length int64 // announced
	read   int64
	left   int64 // of this chunk
	begun  bool
	ended  bool

	signer   *sigV4 // nil: chunks are not signed
	previous string // signature
	claimed  string // signature of this chunk
	sum      hash.Hash
}

func (c *chunked) Read(p []byte) (int, error) {
	for c.left == 0 {
		if c.ended {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.read += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if err != nil {
		return n, errors.Join(io.ErrUnexpectedEOF, err)
	}
	if c.read > c.length {
		return n, errPayload
	}
	return n, nil
}

// next ends a chunk and begins the following one.
func (c *chunked) next() error {
	if c.begun {
		if line, err := c.line(); err != nil || line != "" {
			if err == nil {
				err = errPayload
			}
			return err
		}
		if err := c.prove(); err != nil {
			return err
		}
	}
	c.begun = true
	line, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	if c.left, err = strconv.ParseInt(size, 16, 64); err != nil || c.left < 0 {
		return errPayload
	}
	c.claimed = strings.TrimPrefix(extension, "chunk-signature=")
	if c.signer != nil && c.signer.key != nil {
		c.sum = sha256.New()
	}
	if c.left > 0 {
		return nil
	}
	c.ended = true
	if err := c.prove(); err != nil {
		return err
	}
	if c.read != c.length {
		return errPayload
	}
	for { // trailers: checksums that our own digests stand in for
		line, err := c.line()
		if err == nil && line != "" {
			continue
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil // all chunks have come; some clients leave the last line out
		}
		return err
	}
}

// prove verifies the signature of the chunk that was read.
func (c *chunked) prove() error {
	if c.sum == nil {
		return nil
	}
	empty := sha256.Sum256(nil)
	want := hex.EncodeToString(mac(c.signer.key, strings.Join([]string{
		sigAlgorithm + "-PAYLOAD", c.signer.when.Format(sigTime), c.signer.scope, c.previous, hex.EncodeToString(empty[:]), hex.EncodeToString(c.sum.Sum(nil)),
	}, "\n")))
	if !hmac.Equal([]byte(want), []byte(c.claimed)) {
		return &sigError{"SignatureDoesNotMatch", "a chunk is not the one that was signed"}
	}
	c.previous = want
	return nil
}

func (c *chunked) line() (string, error) {
	line, err := c.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // a body that ends here was cut off
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
