package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is whom the server runs as. PostgreSQL refuses to run as root, so
// root hands it to "postgres" or else "nobody"; anybody else runs it himself.
type account struct {
	name     string
	uid, gid int
	other    bool // not us
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name, uid, gid, true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and this machine has neither a user \"postgres\" nor \"nobody\" to run it as; add one")
}

// own gives a file or directory to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// command is program -D data args..., run as the account. The caller closes
// the command's ExtraFiles after it has started.
//
// A directory that root has made is often closed to others (mktemp -d, /root),
// and so is everything under it. On Linux the server gets the opened data
// directory instead of its path and needs no permission on the way there.
func (a account) command(data, program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANG=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
		if runtime.GOOS == "linux" {
			dir, err := os.Open(data)
			if err != nil {
				return nil, err
			}
			cmd.ExtraFiles = []*os.File{dir}
			data = "/proc/self/fd/3"
		}
	}
	cmd.Args = append([]string{program, "-D", data}, args...)
	return cmd, nil
}

// lockFile takes the exclusive lock that says who uses a directory. The kernel
// lets go of it when the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%s %w: another running process uses this directory; stop it or choose another", path, errLocked)
		}
		return nil, err
	}
	return f, nil
}

// errLocked says that somebody else has a lock.
var errLocked = errors.New("is locked")

// socketDirectory makes the directory of the Unix socket: short, because the
// whole path may have 107 bytes, and always the same for a data directory. /tmp
// is anybody's, so a directory of that name that is not ours is refused.
func socketDirectory(dir string, run account) (string, error) {
	sum := sha256.Sum256([]byte(dir))
	path := fmt.Sprintf("/tmp/mezhved-%d-%s", run.uid, hex.EncodeToString(sum[:6]))
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return path, run.own(path)
	}
	if !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || owner != run.uid && owner != os.Geteuid() {
		return "", fmt.Errorf("%s is not a directory of mode 0700 of ours; remove it", path)
	}
	return path, run.own(path)
}

// postmaster reads the server's process id from its data directory.
func postmaster(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// stopOrphan ends a server that still runs on data although the process that
// had started it is gone (we hold its lock). A stale postmaster.pid is left
// alone: the server itself knows best what to do with it.
func stopOrphan(data string) error {
	pid, err := postmaster(data)
	if err != nil || !serves(pid, data) {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{
		{syscall.SIGINT, 30 * time.Second},  // fast shutdown
		{syscall.SIGQUIT, 10 * time.Second}, // immediate; recovery mends it
	} {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("a server left behind (process %d) cannot be stopped: %w", pid, err)
		}
		for end := time.Now().Add(step.wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if !serves(pid, data) {
				return nil
			}
		}
	}
	return fmt.Errorf("a server left behind (process %d) does not stop; kill it", pid)
}

// serves tells whether the process is a server on this data directory; the
// number may have gone to somebody else since.
func serves(pid int, data string) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	if runtime.GOOS == "linux" {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil {
			return false // a zombie has none
		}
		real, err := filepath.EvalSymlinks(data)
		return err == nil && cwd == real
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), data)
}

// endLeftovers kills the server processes that still stand in the data directory
// though their postmaster has gone: a child that was being forked when it was
// killed is nobody's child that we know of. Linux only; elsewhere they are waited
// for.
func endLeftovers(data string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !serves(pid, data) {
			continue
		}
		if comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err == nil && strings.HasPrefix(string(comm), "postgres") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// childrenOf lists the processes whose parent is pid. Linux tells it in /proc: ps
// is not on every machine.
func childrenOf(pid int) []int {
	var children []int
	if stats, _ := filepath.Glob("/proc/[0-9]*/stat"); len(stats) > 0 {
		for _, path := range stats {
			stat, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			// The name, in parentheses, may have anything in it.
			var state string
			var parent int
			rest := stat[bytes.LastIndexByte(stat, ')')+1:]
			if _, err := fmt.Sscan(string(rest), &state, &parent); err == nil && parent == pid {
				child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				children = append(children, child)
			}
		}
		return children
	}
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil && parent == pid {
			children = append(children, child)
		}
	}
	return children
}
