package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The tests look at what "make dist" has written into the folder that MEZHVED_DIST
// names, "make test-dist" calls both.
func made(t *testing.T, pattern string) string {
	t.Helper()
	dir := os.Getenv("MEZHVED_DIST")
	if dir == "" {
		t.Skip("MEZHVED_DIST names no folder that make dist has written: make test-dist does both")
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, found, err)
	}
	return found[0]
}

// origin is what was made, by the name of a program's file.
func origin(t *testing.T) *source {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(made(t, "mezhved_*_linux_"+runtime.GOARCH))
	version := strings.TrimSuffix(strings.TrimPrefix(name, "mezhved_"), "_linux_"+runtime.GOARCH)
	return &source{root: root, version: version, commit: "0123456789abcdef", date: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may make namespaces and install packages in them")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: .ci/tools does it", p)
		}
	}
}

// machine is a system of its own that this one boots (testdata/machine).
type machine struct {
	t    *testing.T
	init string // its first process, as this system calls it
	said *bytes.Buffer
}

func boot(t *testing.T) *machine {
	t.Helper()
	need(t, "unshare", "nsenter", "systemctl", "dpkg")
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("there is no systemd here to boot")
	}
	m := &machine{t: t, said: new(bytes.Buffer)}
	cmd := exec.Command("testdata/machine", t.TempDir())
	cmd.Stdout, cmd.Stderr = m.said, m.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // and with it all that runs there
		<-done
		for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			var left []string
			for _, tree := range []string{"", "unified/", "systemd/"} {
				group := fmt.Sprintf("/sys/fs/cgroup/%smezhved-machine-%d", tree, cmd.Process.Pid)
				exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
				if _, err := os.Stat(group); err == nil {
					left = append(left, group)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				t.Errorf("the machine's control groups are still in use: %q", left)
				return
			}
		}
	})
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the machine does not boot: %v\n%s", err, m.said)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the machine does not get ready\n%s", m.said)
		}
		child, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
		if err != nil || len(strings.Fields(string(child))) != 1 {
			continue
		}
		m.init = strings.Fields(string(child))[0]
		if name, err := os.ReadFile("/proc/" + m.init + "/comm"); err != nil || strings.TrimSpace(string(name)) != "systemd" {
			continue
		}
		if state, _ := m.try("systemctl is-system-running"); strings.Contains(state, "running") || strings.Contains(state, "degraded") {
			return m
		}
	}
}

func (m *machine) try(script string) (string, error) {
	cmd := exec.Command("nsenter", "--target", m.init, "--all", "--root", "--wd", "--", "bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a script there; it must end well.
func (m *machine) run(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		log, _ := m.try("journalctl --no-pager -n 60 -u mezhved 2>&1; systemctl status --no-pager mezhved 2>&1")
		m.t.Fatalf("%s\n%v\n%s\n%s", script, err, out, log)
	}
	return strings.TrimSpace(out)
}

// put copies a file there.
func (m *machine) put(name, to string) {
	m.t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(filepath.Join("/proc", m.init, "root", to), data, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// postgres starts the server that docs/install.md takes for granted.
func (m *machine) postgres() {
	m.t.Helper()
	m.run(`command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null
		version=$(ls /etc/postgresql | tail -n 1)
		[ -n "$version" ] || { version=$(ls /usr/lib/postgresql | tail -n 1); pg_createcluster "$version" main; }
		pg_ctlcluster "$version" main restart`)
}

// shellBlocks are the commands of a document that a reader is to copy.
func shellBlocks(t *testing.T, name string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestInstalled does what docs/install.md says on a machine that has never seen the
// gateway, then upgrades, removes and purges it: what runs goes on, and what is somebody's
// stays.
func TestInstalled(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the page names packages for amd64")
	}
	deb, sums := made(t, "mezhved_*_amd64.deb"), made(t, "SHA256SUMS")
	m := boot(t)
	m.postgres()
	m.run("mkdir -p /root/fetched")
	m.put(deb, "/root/fetched/"+filepath.Base(deb))
	m.put(sums, "/root/fetched/SHA256SUMS")

	blocks := shellBlocks(t, "../../docs/install.md")
	if russian := shellBlocks(t, "../../docs/install.ru.md"); strings.Join(russian, "\n") != strings.Join(blocks, "\n") {
		t.Error("docs/install.ru.md has other commands than docs/install.md")
	}
	said, began := "", time.Now()
	for i, block := range blocks {
		said += m.run("cd /root/fetched\n"+block) + "\n"
		switch i {
		case 0:
			t.Logf("checked and installed in %s", time.Since(began).Round(100*time.Millisecond))
		case len(blocks) - 1:
			t.Logf("installed, configured, started and reloaded in %s", time.Since(began).Round(100*time.Millisecond))
		}
	}
	for _, want := range []string{"does not run yet", "good    database"} {
		if !strings.Contains(said, want) {
			t.Errorf("it is not said: %q\n%s", want, said)
		}
	}

	if got, want := m.run("stat -c '%U:%G %a %n' /etc/mezhved /etc/mezhved/mezhved.yaml /var/lib/mezhved"), "root:mezhved 750 /etc/mezhved\nroot:mezhved 640 /etc/mezhved/mezhved.yaml\nmezhved:mezhved 750 /var/lib/mezhved"; got != want {
		t.Errorf("folders:\n%s\nwant\n%s", got, want)
	}
	pid := m.run("systemctl show --value -p MainPID mezhved")
	if got := m.run("ps -o user= -p " + pid); got != "mezhved" {
		t.Errorf("the gateway runs as %q", got)
	}
	if got := m.run("grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/" + pid + "/status | tr -d '\\t' | tr '\\n' ' '"); got != "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2" {
		t.Errorf("the gateway has %q", got)
	}
	if got := m.run("grep 'core file' /proc/" + pid + "/limits"); !regexp.MustCompile(`size +0 +0 `).MatchString(got) {
		t.Errorf("core files: %q", got)
	}
	m.run(`test "$(systemctl is-enabled mezhved-route)" = disabled
		printf '%s\n' 'broadcasts: here' 'installations: [{name: here, url: "http://127.0.0.1:7500"}]' >/etc/mezhved/route.yaml
		systemctl enable --now mezhved-route
		curl --fail --silent http://127.0.0.1:7600/readyz
		systemctl reload mezhved-route`) // as docs/route.md says
	router := m.run("systemctl show --value -p MainPID mezhved-route")
	m.run("man -w mezhved mezhved-journal mezhved-route && bash -ic 'source /usr/share/bash-completion/completions/mezhved; complete -p mezhved'")

	// An upgrade: the same programs under a later version.
	m.put(later(t, origin(t), "mezhved_*.deb"), "/root/fetched/next.deb")
	m.run("echo '# mine' >>/etc/mezhved/mezhved.yaml")
	head := m.run("curl --silent http://127.0.0.1:7500/checkpoint | head -n 1")
	m.run("dpkg -i /root/fetched/next.deb")
	if now := m.run("systemctl show --value -p MainPID mezhved"); now == pid || now == "0" {
		t.Errorf("after the upgrade the process is %s, before it was %s", now, pid)
	}
	if now := m.run("systemctl show --value -p MainPID mezhved-route"); now == router || now == "0" {
		t.Errorf("after the upgrade the router's process is %s, before it was %s", now, router)
	}
	if got := m.run("curl --fail --silent http://127.0.0.1:7500/readyz >/dev/null; curl --silent http://127.0.0.1:7500/checkpoint | head -n 1"); got != head {
		t.Errorf("after the upgrade the log is %q, before it was %q", got, head)
	}
	if got := m.run("dpkg-query -W -f '${Version}' mezhved; tail -n 1 /etc/mezhved/mezhved.yaml"); got != "99.0.0# mine" {
		t.Errorf("after the upgrade: %q", got)
	}

	// Removed: it ends, and all that is the operator's stays.
	data := "cd / && find etc/mezhved var/lib/mezhved -type f ! -path '*/kafka/*' -exec sha256sum {} + | sort -k 2"
	m.run("systemctl stop mezhved && systemctl reset-failed") // what it writes at its end is there
	before := m.run(data)
	m.run("systemctl start mezhved && dpkg --remove mezhved")
	if out, err := m.try("systemctl is-active mezhved mezhved-route"); err == nil {
		t.Errorf("removed, the units are %s", out)
	}
	if names := func(s string) string { return regexp.MustCompile(`(?m)^\S+ `).ReplaceAllString(s, "") }; names(m.run(data)) != names(before) {
		t.Errorf("removed, there is\n%s\nand before there was\n%s", m.run(data), before)
	}
	// Purged: the configuration is the package's; the rest is told of.
	said = m.run("dpkg --purge mezhved")
	for _, want := range []string{"/var/lib/mezhved: the vault", "/etc/mezhved: keys", "userdel mezhved"} {
		if !strings.Contains(said, want) {
			t.Errorf("the purge does not say %q:\n%s", want, said)
		}
	}
	m.run("test ! -e /etc/mezhved/mezhved.yaml && test -s /etc/mezhved/journal.key && test -d /var/lib/mezhved/vault && id mezhved >/dev/null")

	// And again: the keys and the journal are those of before.
	m.run("cd /root/fetched && dpkg -i mezhved_*_amd64.deb")
	m.run(`cd /etc/mezhved
		sed -i 's/^  tokens: \[\].*/  tokens: [{name: duty, role: operator, file: operator.token}]/; s|^  brokers: .*|  private: /var/lib/mezhved/kafka|' mezhved.yaml
		systemctl start mezhved`)
	if got := m.run("curl --silent http://127.0.0.1:7500/checkpoint | head -n 1"); got != head {
		t.Errorf("installed again, the log is %q, before it was %q", got, head)
	}
}

// later makes a package of the same programs with a later version.
func later(t *testing.T, s *source, pattern string) string {
	t.Helper()
	next, out := *s, t.TempDir()
	next.version = "99.0.0"
	work := filepath.Join(out, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		data, err := os.ReadFile(s.binary(os.Getenv("MEZHVED_DIST"), program, runtime.GOARCH))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(next.binary(out, program, runtime.GOARCH), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := next.pages(work)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.packages(out, runtime.GOARCH, p, filepath.Join(next.root, "LICENSE")); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(out, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	return found[0]
}
