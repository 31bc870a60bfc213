package backup

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options say how a bucket is reached. The zero value is Amazon's, with what the
// environment has (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION) or the role of
// the machine.
type S3Options struct {
	Endpoint    string // URL of the service; http:// for one in the clear
	Region      string
	Credentials string // file as AWS's tools have it ([default] aws_access_key_id, aws_secret_access_key)
	CAs         string // PEM file of the authorities of the service's certificate; default: the system's
}

// bucket is a place in a bucket of S3.
type bucket struct {
	client       *minio.Client
	name, prefix string
}

func openS3(name, prefix string, o S3Options) (*bucket, error) {
	if name == "" {
		return nil, errors.New("s3://: the bucket's name is missing: s3://bucket/prefix")
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://s3.amazonaws.com"
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("backup.s3.endpoint %q: a URL is expected, such as https://s3.example:9000", o.Endpoint)
	}
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}}
	if o.Credentials != "" {
		chain = []credentials.Provider{&credentials.FileAWSCredentials{Filename: o.Credentials}}
	}
	options := &minio.Options{Creds: credentials.NewChainCredentials(chain), Secure: u.Scheme == "https", Region: o.Region}
	if o.CAs != "" {
		pem, err := os.ReadFile(o.CAs)
		if err != nil {
			return nil, fmt.Errorf("backup.s3.cas: %w", err)
		}
		transport, err := minio.DefaultTransport(true)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("backup.s3.cas: %s holds no certificate", o.CAs)
		}
		options.Transport = transport
	}
	client, err := minio.New(u.Host, options)
	if err != nil {
		return nil, fmt.Errorf("s3://%s: %w", name, err)
	}
	return &bucket{client, name, prefix}, nil
}

func (b *bucket) String() string { return "s3://" + path.Join(b.name, b.prefix) }

func (b *bucket) key(name string) string { return path.Join(b.prefix, name) }

func (b *bucket) wrap(err error) error {
	if err == nil {
		return nil
	}
	if code := minio.ToErrorResponse(err).Code; code == minio.NoSuchKey {
		return fmt.Errorf("%s: %w", b, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", b, err)
}

// Put implements Place.
func (b *bucket) Put(ctx context.Context, name string, content []byte) error {
	_, err := b.client.PutObject(ctx, b.name, b.key(name), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{ContentType: "application/octet-stream"})
	return b.wrap(err)
}

// Get implements Place.
func (b *bucket) Get(ctx context.Context, name string) ([]byte, error) {
	o, err := b.client.GetObject(ctx, b.name, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, b.wrap(err)
	}
	defer o.Close()
	all, err := io.ReadAll(o)
	return all, b.wrap(err)
}

// List implements Place.
func (b *bucket) List(ctx context.Context, prefix string, each func(string, time.Time) error) error {
	ctx, stop := context.WithCancel(ctx) // whoever has enough does not read on
	defer stop()
	below := b.prefix
	if below != "" {
		below += "/"
	}
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: below + prefix, Recursive: true}) {
		if o.Err != nil {
			return b.wrap(o.Err)
		}
		if err := each(strings.TrimPrefix(o.Key, below), o.LastModified); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Delete implements Place.
func (b *bucket) Delete(ctx context.Context, names []string) error {
	var all []error
	for _, name := range names {
		if err := b.client.RemoveObject(ctx, b.name, b.key(name), minio.RemoveObjectOptions{}); err != nil {
			all = append(all, b.wrap(err))
		}
	}
	return errors.Join(all...)
}
