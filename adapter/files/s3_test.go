package files

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
)

// The examples of AWS's own description of Signature Version 4 for S3.
func TestSigV4Examples(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	chunks := func() string {
		var b strings.Builder
		for _, c := range []struct {
			n   int
			sig string
		}{
			{65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"},
			{1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"},
			{0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
		} {
			fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s\r\n", c.n, c.sig, strings.Repeat("a", c.n))
		}
		return b.String()
	}()
	for _, tt := range []struct {
		method, url string
		headers     [][2]string
		signed, sig string
		body, want  string
	}{
		{"GET", "http://examplebucket.s3.amazonaws.com/test.txt", [][2]string{{"Range", "bytes=0-9"}, {"X-Amz-Content-Sha256", empty}},
			"host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", "", ""},
		{"PUT", "http://examplebucket.s3.amazonaws.com/test$file.text", [][2]string{{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"X-Amz-Storage-Class", "REDUCED_REDUNDANCY"}, {"X-Amz-Content-Sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}},
			"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd", "Welcome to Amazon S3.", "Welcome to Amazon S3."},
		{"GET", "http://examplebucket.s3.amazonaws.com/?lifecycle", [][2]string{{"X-Amz-Content-Sha256", empty}},
			"host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", "", ""},
		{"GET", "http://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", [][2]string{{"X-Amz-Content-Sha256", empty}},
			"host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", "", ""},
		{"PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt", [][2]string{{"X-Amz-Storage-Class", "REDUCED_REDUNDANCY"}, {"Content-Encoding", "aws-chunked"}, {"X-Amz-Decoded-Content-Length", "66560"}, {"X-Amz-Content-Sha256", payloadChunks}},
			"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class", "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", chunks, strings.Repeat("a", 66560)},
	} {
		build := func() *http.Request {
			r := httptest.NewRequest(tt.method, tt.url, strings.NewReader(tt.body))
			for _, h := range tt.headers {
				r.Header.Set(h[0], h[1])
			}
			r.Header.Set("X-Amz-Date", now.Format(sigTime))
			r.Header.Set("Authorization", sigAlgorithm+" Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders="+tt.signed+",Signature="+tt.sig)
			return r
		}
		r := build()
		s, err := readSigV4(r, now.Add(time.Minute))
		if err == nil {
			err = s.verify(r, secret)
		}
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.url, err)
			continue
		}
		in, err := s.body(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != tt.want {
			t.Errorf("%s %s: body %.40q, %v", tt.method, tt.url, got, err)
		}
		if err := s.verify(r, secret+"x"); err == nil {
			t.Errorf("%s %s holds with another secret", tt.method, tt.url)
		}
		if r.URL.Path += "x"; s.verify(r, secret) == nil {
			t.Errorf("%s %s holds for another path", tt.method, tt.url)
		}
		if _, err := readSigV4(build(), now.Add(16*time.Minute)); err == nil {
			t.Errorf("%s %s is good for ever", tt.method, tt.url)
		}
		// Whatever byte of the body is changed, it is not taken.
		for i := 0; i < len(tt.body); i += 1 + len(tt.body)/50 {
			changed := []byte(tt.body)
			changed[i] ^= 1
			in, err := s.body(func() *http.Request { r := build(); r.Body = io.NopCloser(bytes.NewReader(changed)); return r }())
			if err != nil {
				continue
			}
			s.key = nil
			if r := build(); s.verify(r, secret) != nil {
				t.Fatal("no key")
			}
			if _, err := io.ReadAll(in); err == nil {
				t.Errorf("%s: byte %d changed, and taken", tt.url, i)
			}
		}
	}
}

// A header that is named again and again is in what is digested each time: a request of
// 32 KB would be digested as a hundred megabytes.
func TestSigV4NamesTwice(t *testing.T) {
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for names, refused := range map[string]bool{
		"host;x-amz-date": false, "x-amz-date;host": false, "host;x;x": true, "X;host;x": true, "host;host": true, "host;;": true,
		strings.Repeat("x;", 8000) + "host": true,
	} {
		r := httptest.NewRequest("PUT", "/attachment/a/b", nil)
		r.Header.Set("X-Amz-Date", now.Format(sigTime))
		r.Header.Set("X-Amz-Content-Sha256", payloadOpen)
		r.Header.Set("Authorization", sigAlgorithm+" Credential=anonymous/20130524/us-east-1/s3/aws4_request,SignedHeaders="+names+",Signature=00")
		_, err := readSigV4(r, now)
		var e *sigError
		if errors.As(err, &e) && e.code == "AuthorizationHeaderMalformed" != refused || refused && e == nil || !refused && err != nil {
			t.Errorf("%.40s: %v", names, err)
		}
	}
}

// client speaks S3.
type client struct {
	t              *testing.T
	url            string
	access, secret string
	now            func() time.Time
}

// do sends a signed request; chunk > 0 sends the body in signed chunks.
func (c *client) do(method, path string, body []byte, chunk int, headers ...string) (int, http.Header, string) {
	c.t.Helper()
	payload := hex.EncodeToString(sum(body))
	sent := body
	if chunk > 0 {
		payload = payloadChunks
	}
	r, err := http.NewRequest(method, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = r.URL.Host
	now := c.now().UTC()
	signed := []string{"host", "x-amz-content-sha256", "x-amz-date"}
	r.Header.Set("X-Amz-Content-Sha256", payload)
	r.Header.Set("X-Amz-Date", now.Format(sigTime))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if p := r.Header.Get("X-Amz-Content-Sha256"); p != payload {
		payload = p
	}
	if chunk > 0 {
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)))
	}
	s := &sigV4{scope: now.Format("20060102") + "/us-east-1/s3/aws4_request", when: now, payload: payload}
	sign := func() string {
		key := []byte("AWS4" + c.secret)
		for _, p := range strings.Split(s.scope, "/") {
			key = mac(key, p)
		}
		s.key = key
		return hex.EncodeToString(mac(key, strings.Join([]string{sigAlgorithm, now.Format(sigTime), s.scope, hex.EncodeToString(sum([]byte(canonicalRequest(r, signed, payload))))}, "\n")))
	}
	signature := sign()
	r.Header.Set("Authorization", sigAlgorithm+" Credential="+c.access+"/"+s.scope+", SignedHeaders="+strings.Join(signed, ";")+", Signature="+signature)
	if chunk > 0 {
		var b bytes.Buffer
		previous := signature
		for rest := body; ; {
			n := min(chunk, len(rest))
			previous = hex.EncodeToString(mac(s.key, strings.Join([]string{sigAlgorithm + "-PAYLOAD", now.Format(sigTime), s.scope, previous, hex.EncodeToString(sum(nil)), hex.EncodeToString(sum(rest[:n]))}, "\n")))
			fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s\r\n", n, previous, rest[:n])
			rest = rest[n:]
			if n == 0 {
				break
			}
		}
		sent = b.Bytes()
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(answer)
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// must demands a status and, of a refusal, its code.
func (c *client) must(status int, code, method, path string, body []byte, headers ...string) (http.Header, string) {
	c.t.Helper()
	got, h, answer := c.do(method, path, body, 0, headers...)
	if got != status || code != "" && !strings.Contains(answer, "<Code>"+code+"</Code>") {
		c.t.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, code)
	}
	return h, answer
}

func openS3(t *testing.T, config adapter.FilesConfig, change func(*adapter.FTPConfig)) (*Store, *memory, *client) {
	t.Helper()
	index := newMemory()
	s := openStore(t, index, config)
	c := adapter.Config{}.WithDefaults().FTP
	if change != nil {
		change(&c)
	}
	d, err := s.S3(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return s, index, &client{t: t, url: server.URL, access: "anonymous", secret: "smev", now: time.Now}
}

func TestS3(t *testing.T) {
	s, index, c := openS3(t, limits(), nil)
	id := newID(t)
	key := "/attachment/" + id.String() + "/%D0%BF%D0%BB%D0%B0%D0%BD%20%231.zip" // план #1.zip
	c.must(200, "", "GET", "/attachment?location", nil)
	c.must(200, "", "HEAD", "/attachment", nil)
	c.must(200, "", "HEAD", "/attachment/", nil)
	md := md5.Sum([]byte("content"))
	c.must(200, "", "PUT", key, []byte("content"), "Content-Md5", base64.StdEncoding.EncodeToString(md[:]))
	if e := index.entries[id]; !e.Whole || e.Name != "план #1.zip" || e.SHA256 != sha256.Sum256([]byte("content")) {
		t.Errorf("in the index: %+v", e)
	}
	h, _ := c.must(200, "", "HEAD", key, nil)
	if h.Get("Content-Length") != "7" || !strings.HasSuffix(h.Get("ETag"), `-1"`) {
		t.Errorf("HEAD: %v", h)
	}
	if status, _, answer := c.do("PUT", key, []byte("content"), 4); status != 200 || index.entries[id].Size != 7 {
		t.Errorf("the same again, in chunks: %d %s", status, answer)
	}
	// A call knows nothing of the one that has brought a file: it changes nothing.
	c.must(403, "AccessDenied", "DELETE", key, nil)
	c.must(204, "", "DELETE", "/attachment/"+id.String()+"/other", nil)
	c.must(200, "", "PUT", key, []byte("another"))
	if e := index.entries[id]; e.SHA256 != sha256.Sum256([]byte("content")) {
		t.Errorf("in the index: %+v", e)
	}
	if n := len(onDisk(t, s)); n != 2 {
		t.Errorf("%d files on the disk", n)
	}
	c.must(404, "", "HEAD", "/attachment/"+id.String()+"/other", nil)
	c.must(404, "NoSuchKey", "GET", key, nil)
	for _, bad := range [][4]string{
		{"PUT", "/attachment/name", "400", "InvalidArgument"}, {"PUT", "/attachment/" + uuid.NewString() + "/f", "400", "InvalidArgument"},
		{"PUT", "/attachment/" + id.String() + "/a/b", "400", "InvalidArgument"}, {"PUT", "/attachment/" + id.String() + "/%2e%2e", "400", "InvalidArgument"},
		{"PUT", "/attachment/" + id.String() + "/a%5Cb", "400", "InvalidArgument"}, {"PUT", "/attachment/../" + id.String() + "/f", "400", "InvalidArgument"},
		{"GET", "/attachment?list-type=2", "501", "NotImplemented"}, {"PUT", key + "?acl", "501", "NotImplemented"}, {"POST", key, "501", "NotImplemented"},
		{"PUT", key + "?partNumber=1&uploadId=x", "404", "NoSuchUpload"}, {"PUT", key + "?partNumber=0&uploadId=x", "400", "InvalidArgument"},
		{"POST", key + "?uploadId=..%2F..%2Fetc", "404", "NoSuchUpload"}, {"DELETE", key + "?uploadId=AAAAAAAAAAAAAAAAAAAAAAAAAA", "404", "NoSuchUpload"},
	} {
		var status int
		fmt.Sscan(bad[2], &status)
		c.must(status, bad[3], bad[0], bad[1], []byte("x"))
	}
	c.must(400, "BadDigest", "PUT", key, []byte("content"), "Content-Md5", "AAAA")
	c.must(400, "XAmzContentSHA256Mismatch", "PUT", key, []byte("content"), "X-Amz-Content-Sha256", hex.EncodeToString(sum([]byte("other"))))
	c.must(400, "InvalidRequest", "PUT", key, []byte("content"), "X-Amz-Content-Sha256", "x")
	c.must(200, "", "PUT", key, []byte("content"), "X-Amz-Content-Sha256", payloadOpen)
	c.must(400, "EntityTooLarge", "PUT", key, make([]byte, 1001))
	late := *c
	late.now = func() time.Time { return time.Now().Add(-time.Hour) }
	late.must(403, "RequestTimeTooSkewed", "PUT", key, nil)
	stranger := *c
	stranger.access = "somebody"
	stranger.must(403, "InvalidAccessKeyId", "GET", key, nil)
	if resp, err := http.Get(c.url + key); err != nil || resp.StatusCode != 403 {
		t.Errorf("unsigned: %v, %v", resp, err)
	}
	for entry, e := range index.entries {
		e.Owner = "b"
		index.entries[entry] = e
	}
	c.must(204, "", "DELETE", key, nil) // what another owner has is not there for this one
	c.must(404, "", "HEAD", key, nil)
	if len(index.entries) != 2 || len(onDisk(t, s)) != 2 {
		t.Errorf("%v, %q", index.entries, onDisk(t, s))
	}
}

// An upload of parts: in any order, one of them twice, put together by another
// node.
func TestS3Parts(t *testing.T) {
	s, index, c := openS3(t, limits(), nil)
	id := newID(t)
	key := "/attachment/" + id.String() + "/f"
	begin := func() string {
		_, answer := c.must(200, "", "POST", key+"?uploads", nil)
		return regexp.MustCompile(`<UploadId>([A-Z2-7]{26})</UploadId>`).FindStringSubmatch(answer)[1]
	}
	upload := begin()
	at := func(n int) string { return fmt.Sprintf("%s?partNumber=%d&uploadId=%s", key, n, upload) }
	part := func(n int, content string) string {
		h, _ := c.must(200, "", "PUT", at(n), []byte(content))
		return h.Get("ETag")
	}
	two := part(2, "second")
	part(1, "wrong")
	one := part(1, "first, ")
	if u, _ := index.FileUse(t.Context(), "anonymous@127.0.0.1"); u.OwnerBytes != 13 || index.entries[id].Whole {
		t.Errorf("while it is brought: %+v, %+v", u, index.entries[id])
	}
	complete := func(tags ...string) []byte {
		b := "<CompleteMultipartUpload>"
		for i, tag := range tags {
			b += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, strings.ReplaceAll(tag, `"`, "&#34;"))
		}
		return []byte(b + "</CompleteMultipartUpload>")
	}
	for _, bad := range [][]byte{complete(one), complete(two, one), complete(one, two, two), complete(), []byte("<x>"), []byte("<!DOCTYPE a><a/>"), nil} {
		status, _, answer := c.do("POST", key+"?uploadId="+upload, bad, 0)
		if status != 400 {
			t.Errorf("completed with %q: %d %s", bad, status, answer)
		}
	}
	// Another node, on the same directory and index.
	other := openStore(t, index, func() adapter.FilesConfig { l := limits(); l.Dir = s.dir; return l }())
	d, err := other.S3(adapter.Config{}.WithDefaults().FTP)
	if err != nil {
		t.Fatal(err)
	}
	second := httptest.NewServer(d)
	defer second.Close()
	c.url = second.URL
	c.must(200, "", "POST", key+"?uploadId="+upload, complete(one, two))
	if e := index.entries[id]; !e.Whole || e.SHA256 != sha256.Sum256([]byte("first, second")) {
		t.Errorf("put together: %+v", e)
	}
	if n := len(onDisk(t, s)); n != 1 {
		t.Errorf("on the disk: %q", onDisk(t, s))
	}
	// Told again, because the answer was lost, it says the same; and no more comes.
	c.must(200, "", "POST", key+"?uploadId="+upload, complete(one, two))
	c.must(404, "NoSuchUpload", "PUT", at(3), []byte("third"))
	c.must(404, "NoSuchUpload", "DELETE", key+"?uploadId="+upload, nil)

	// Limits hold for the parts together; aborted, they are gone.
	id = newID(t)
	key = "/attachment/" + id.String() + "/f"
	upload = begin()
	part(1, strings.Repeat("x", 600))
	part(1, strings.Repeat("y", 600)) // again: it lies there once
	c.must(400, "EntityTooLarge", "PUT", at(2), make([]byte, 500))
	c.must(204, "", "DELETE", key+"?uploadId="+upload, nil)
	if n := len(onDisk(t, s)); n != 1 {
		t.Errorf("after the abort: %q", onDisk(t, s))
	}
	if u, _ := index.FileUse(t.Context(), "anonymous@127.0.0.1"); u.OwnerBytes != 13 {
		t.Errorf("after the abort %d bytes count", u.OwnerBytes)
	}
	// Parts of files that are never completed count as well.
	for i := range 4 {
		id = newID(t)
		key = "/attachment/" + id.String() + "/f"
		upload = begin()
		status, _, answer := c.do("PUT", at(1), make([]byte, 900), 0)
		if want := map[bool]int{true: 200, false: 403}[i < 2]; status != want {
			t.Errorf("upload %d of 900 bytes, 2500 may wait: %d %s", i, status, answer)
		}
	}
}

func TestS3Password(t *testing.T) {
	_, _, c := openS3(t, limits(), func(c *adapter.FTPConfig) {
		c.PasswordFile = filepath.Join(t.TempDir(), "password")
		os.WriteFile(c.PasswordFile, []byte("secret\n"), 0o600)
	})
	key := "/attachment/" + newID(t).String() + "/f"
	c.must(403, "SignatureDoesNotMatch", "PUT", key, []byte("x"))
	c.secret = "secret"
	c.must(200, "", "PUT", key, []byte("x"))
	key = "/attachment/" + newID(t).String() + "/f"
	if status, _, answer := c.do("PUT", key, []byte("chunked content"), 4); status != 200 {
		t.Errorf("in chunks: %d %s", status, answer)
	}
}

// FuzzChunked: whatever comes in the encoding aws-chunked, what is taken without
// an error is as long as was announced, and is the chunks one after the other.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), int64(3))
	f.Add([]byte("3;chunk-signature=00\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"), int64(5))
	f.Add([]byte("-1\r\n"), int64(0))
	f.Add([]byte("ffffffffffffffff\r\n"), int64(1))
	f.Add([]byte("0\r\n"), int64(0))
	f.Add([]byte("3\r\nabcd\r\n0\r\n\r\n"), int64(4))
	f.Fuzz(func(t *testing.T, in []byte, length int64) {
		r := httptest.NewRequest("PUT", "/attachment/x/y", bytes.NewReader(in))
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(length))
		body, err := (&sigV4{payload: openTrailer}).body(r)
		if err != nil {
			return
		}
		got, err := io.ReadAll(body)
		if err == nil && int64(len(got)) != length {
			t.Fatalf("%d bytes were taken, %d announced", len(got), length)
		}
		if !bytes.Contains(in, got) && err == nil && bytes.Count(in, []byte("\n")) < 3 {
			t.Fatalf("%q became %q", in, got)
		}
	})
}
