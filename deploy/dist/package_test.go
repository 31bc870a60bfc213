package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestInstalledRPM lets rpm itself install, upgrade, take back and remove the package on
// a machine of its own, with its scripts, a gateway at work meanwhile.
func TestInstalledRPM(t *testing.T) {
	need(t, "rpm")
	m := boot(t)
	m.put(made(t, "mezhved-[0-9]*.x86_64.rpm"), "/root/mezhved.rpm")
	const rpm = "rpm --nodeps --force-debian " // what it needs is here, of another family
	if said := m.run(rpm + "--install /root/mezhved.rpm 2>&1"); !strings.Contains(said, "does not run yet") {
		t.Errorf("it is not said what comes next:\n%s", said)
	}
	if said := m.run(rpm + "--verify mezhved 2>&1 || true"); said != "" {
		t.Errorf("what is installed differs from the package:\n%s", said)
	}
	if got, want := m.run("stat -c '%U:%G %a' /etc/mezhved /var/lib/mezhved"), "root:mezhved 750\nmezhved:mezhved 750"; got != want {
		t.Errorf("folders:\n%s\nwant\n%s", got, want)
	}
	m.run("systemctl cat mezhved mezhved-route.service mezhved-backup.service mezhved-backup-register.service >/dev/null && mezhved --version")
	if state, _ := m.try("systemctl is-enabled mezhved-backup.timer mezhved-backup-register.timer"); strings.TrimSpace(state) != "disabled\ndisabled" {
		t.Errorf("backups are made of themselves: %s", state)
	}
	m.run("systemctl enable --now mezhved-backup.timer mezhved-backup-register.timer")

	// What docs/install.md says after the package is there.
	m.postgres()
	for _, block := range shellBlocks(t, "../../docs/install.md")[1:] {
		m.run(block)
	}
	m.run("echo '# mine' >>/etc/mezhved/mezhved.yaml")
	const head = "curl --fail --silent http://127.0.0.1:7500/readyz >/dev/null; curl --silent http://127.0.0.1:7500/checkpoint | head -n 1"
	before, pid := m.run(head), m.run("systemctl show --value -p MainPID mezhved")
	m.put(later(t, origin(t), "mezhved-[0-9]*.rpm"), "/root/next.rpm")
	for _, step := range []struct{ command, version string }{
		{"--upgrade /root/next.rpm", "99.0.0"},
		{"--upgrade --oldpackage /root/mezhved.rpm", m.run("rpm --query --queryformat '%{VERSION}' mezhved")},
	} {
		if said := m.run(rpm + step.command + " 2>&1"); strings.Contains(said, "does not run yet") {
			t.Errorf("%s: it is taken for a first installation:\n%s", step.command, said)
		}
		if got := m.run("rpm --query --queryformat '%{VERSION}' mezhved"); got != step.version {
			t.Errorf("%s: version %s, want %s", step.command, got, step.version)
		}
		now := m.run("systemctl show --value -p MainPID mezhved")
		if now == pid || now == "0" {
			t.Errorf("%s: the process is %s, before it was %s", step.command, now, pid)
		}
		pid = now
		if got := m.run(head); got != before {
			t.Errorf("%s: the log is %q, before it was %q", step.command, got, before)
		}
		m.run("tail -n 1 /etc/mezhved/mezhved.yaml | grep -q '# mine' && test ! -e /etc/mezhved/mezhved.yaml.rpmnew && id mezhved >/dev/null && test -d /var/lib/mezhved/vault")
	}

	said := m.run(rpm + "--erase mezhved 2>&1")
	for _, want := range []string{"/var/lib/mezhved: the vault", "/etc/mezhved: keys"} {
		if !strings.Contains(said, want) {
			t.Errorf("the removal does not say %q:\n%s", want, said)
		}
	}
	if out, err := m.try("systemctl is-active mezhved"); err == nil {
		t.Errorf("removed, the unit is %s", out)
	}
	if state, err := m.try("systemctl is-active mezhved-backup.timer mezhved-backup-register.timer"); err == nil {
		t.Errorf("removed, the timers are %s", state)
	}
	m.run("test ! -e /usr/bin/mezhved && grep -q '# mine' /etc/mezhved/mezhved.yaml.rpmsave && test -e /etc/mezhved/journal.key && test -e /var/lib/mezhved/journal.state")
}

// TestPackagesOfBoth looks into the packages that are not installed here.
func TestPackagesOfBoth(t *testing.T) {
	need(t, "dpkg-deb")
	for _, arch := range []string{"amd64", "arm64"} {
		dir := t.TempDir()
		output(t, "dpkg-deb", "--extract", made(t, "mezhved_*_"+arch+".deb"), dir)
		output(t, "dpkg-deb", "--extract", made(t, "mezhved-audit_*_"+arch+".deb"), dir)
		for _, name := range []string{
			"usr/bin/mezhved", "usr/bin/mezhved-audit", "usr/lib/systemd/system/mezhved.service", "usr/lib/systemd/system/mezhved-backup.service", "usr/lib/systemd/system/mezhved-backup.timer",
			"usr/lib/systemd/system/mezhved-backup-register.service", "usr/lib/systemd/system/mezhved-backup-register.timer", "usr/lib/systemd/system/mezhved-route.service",
			"etc/mezhved/mezhved.yaml", "usr/share/doc/mezhved/route.yaml.sample",
			"usr/share/man/man1/mezhved.1.gz", "usr/share/man/man1/mezhved-journal.1.gz", "usr/share/man/man1/mezhved-audit.1.gz",
			"usr/share/bash-completion/completions/mezhved", "usr/share/zsh/vendor-completions/_mezhved", "usr/share/fish/vendor_completions.d/mezhved-audit.fish",
			"usr/share/doc/mezhved/install.md", "usr/share/doc/mezhved/licences.txt",
		} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %s: %v", arch, name, err)
			}
		}
		if control := output(t, "dpkg-deb", "--field", made(t, "mezhved_*_"+arch+".deb"), "Architecture"); strings.TrimSpace(control) != arch {
			t.Errorf("the package for %s is for %s", arch, control)
		}
		// Pages and completion of the real commands are read without a complaint.
		if _, err := exec.LookPath("mandoc"); err == nil {
			output(t, "gunzip", "--recursive", filepath.Join(dir, "usr/share/man"))
			pages, _ := filepath.Glob(filepath.Join(dir, "usr/share/man/man1/*"))
			if said, _ := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput(); len(said) > 0 {
				t.Errorf("man pages:\n%s", said)
			}
		}
		for shell, name := range map[string]string{"bash": "bash-completion/completions/mezhved", "zsh": "zsh/vendor-completions/_mezhved", "fish": "fish/vendor_completions.d/mezhved.fish"} {
			if _, err := exec.LookPath(shell); err == nil {
				output(t, shell, "-n", filepath.Join(dir, "usr/share", name))
			}
		}
	}
}

// TestStatic: a program needs no library, and says of which commit it is.
func TestStatic(t *testing.T) {
	for _, program := range programs {
		for _, arch := range []string{"amd64", "arm64"} {
			name := made(t, program+"_*_linux_"+arch)
			if said, err := exec.Command("ldd", name).CombinedOutput(); err == nil {
				t.Errorf("%s needs\n%s", name, said)
			}
		}
		if said := output(t, made(t, program+"_*_linux_amd64"), "--version"); !regexp.MustCompile(`^` + program + ` \S+ \(commit [0-9a-f]{12} of \d{4}-.*, linux/amd64, static\)\n$`).MatchString(said) {
			t.Errorf("%q", said)
		}
	}
}

// TestOtherUnits: systemd understands the units of backups and of the router, what they call is what the program has,
// and they are closed as the gateway's is.
func TestOtherUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"mezhved-route.service", "mezhved-backup.service", "mezhved-backup.timer", "mezhved-backup-register.service", "mezhved-backup-register.timer"} {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".service") {
			output(t, "systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", "../"+name)
			text = bytes.ReplaceAll(text, []byte("/usr/bin/mezhved "), []byte("/bin/true ")) // which is not installed here
		}
		units = append(units, filepath.Join(dir, name))
		if err := os.WriteFile(units[len(units)-1], text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What it finds wrong it says and goes on: nothing is to be said of ours.
	said, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || strings.Contains(string(said), "mezhved-") {
		t.Errorf("%v\n%s", err, said)
	}
}

// TestUnit: the unit is closed as far as docs/install.md says.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	said := output(t, "systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", "../mezhved.service")
	level := regexp.MustCompile(`Overall exposure level for mezhved.service: ([0-9.]+)`).FindStringSubmatch(said)
	if level == nil {
		t.Fatalf("no level is told:\n%s", said)
	}
	for _, page := range []string{"../../docs/install.md", "../../docs/install.ru.md"} {
		if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "systemd-analyze security mezhved") || !strings.Contains(string(text), " "+level[1]) {
			t.Errorf("%s does not tell the level %s: %v", page, level[1], err)
		}
	}
}

// TestImage runs the image's program in what the image has and nothing beside, and looks
// at what it says of itself.
func TestImage(t *testing.T) {
	need(t, "tar", "unshare")
	dir := t.TempDir()
	output(t, "tar", "-xf", made(t, "mezhved_*_oci.tar"), "-C", dir)
	named, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := named.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	index, err := named.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	platforms := ""
	for _, m := range manifest.Manifests {
		platforms += " " + m.Platform.String()
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/usr/bin/mezhved" || len(config.Config.Labels["org.opencontainers.image.revision"]) != 40 {
			t.Errorf("%s: %+v", m.Platform, config.Config)
		}
		if m.Platform.Architecture != "amd64" {
			continue
		}
		root := t.TempDir()
		os.Chmod(root, 0o755)
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			content, err := l.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			unpack(t, root, content)
		}
		program := func(args ...string) string {
			return output(t, "chroot", append([]string{"--userspec=65532:65532", root}, args...)...)
		}
		if said := program("/usr/bin/mezhved", "version"); !strings.HasPrefix(said, "mezhved ") {
			t.Errorf("%q", said)
		}
		program("/usr/bin/mezhved-audit", "--version")
		pem, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(pem) || bytes.Count(pem, []byte("BEGIN CERTIFICATE")) < 100 {
			t.Errorf("%d authorities", bytes.Count(pem, []byte("BEGIN CERTIFICATE")))
		}
		for _, name := range []string{"usr/share/zoneinfo/Europe/Moscow", "etc/passwd", "tmp", "var/lib/mezhved", "var/lib/mezhved/files"} {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Error(err)
			}
		}
		for _, name := range []string{"bin/sh", "usr/bin/sh"} {
			if _, err := os.Stat(filepath.Join(root, name)); err == nil {
				t.Errorf("%s is in the image", name)
			}
		}
	}
	if platforms != " linux/amd64 linux/arm64" {
		t.Errorf("platforms:%s", platforms)
	}
}

func unpack(t *testing.T, root string, content io.Reader) {
	t.Helper()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(root, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(name, 0o755); err != nil {
				t.Fatal(err)
			}
		} else {
			data, err := io.ReadAll(r)
			if err == nil {
				err = os.WriteFile(name, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chown(name, h.Uid, h.Gid), os.Chmod(name, h.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}

// moduleDir is the folder of a module, of which only files are wanted.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var m struct{ Dir, Error string }
	if bad := errors.Join(err, json.Unmarshal(out, &m)); bad != nil || m.Dir == "" {
		t.Skipf("%s cannot be had here (%v %s): nothing is validated against it", module, bad, m.Error)
	}
	return m.Dir
}

// TestBills: the bills of materials are what CycloneDX says they are, and name the
// modules with their licences.
func TestBills(t *testing.T) {
	schemas := filepath.Join(moduleDir(t, "github.com/CycloneDX/cyclonedx-go@v0.12.0"), "schema")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for id, name := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json": "bom-1.6.schema.json", "http://cyclonedx.org/schema/spdx.schema.json": "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		if err := compiler.AddResource(id, decoded(t, filepath.Join(schemas, name))); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, program := range programs {
			name := made(t, program+"_*_linux_"+arch+".cdx.json")
			if err := schema.Validate(decoded(t, name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"pkg:golang/github.com/beevik/etree@v`, `"pkg:golang/std@1.`, `"Apache-2.0"`, `"linux/` + arch} {
				if program == "mezhved" && !strings.Contains(string(text), want) {
					t.Errorf("%s has no %s", name, want)
				}
			}
		}
	}
}

func decoded(t *testing.T, name string) any {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	return v
}
