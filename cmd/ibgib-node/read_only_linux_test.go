package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A data directory on a disk that is mounted for reading alone is told as that, with what
// to do, and stays as it is.
func TestReadOnlyDisk(t *testing.T) {
	const mounted = `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", mounted, t.TempDir(), "true").CombinedOutput(); err != nil {
		t.Skipf("nothing can be mounted here: %v: %s", err, out)
	}
	program, err := exec.LookPath("ibgib-node") // testscript has put the program into PATH
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	if out, err := exec.Command(program, "new", "note", "--data", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, command := range []string{"heads", "export --all", "run --no-mdns --listen /ip4/127.0.0.1/tcp/0"} {
		args := append([]string{"--mount", "sh", "-c", mounted, dir, program, "--data", dir}, strings.Fields(command)...)
		out, err := exec.Command("unshare", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "cannot be written to") || !strings.Contains(string(out), "copy the data directory") {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	if out, err := exec.Command(program, "verify", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
