package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Versions of the suites that are run: what the Go module proxy has of them is fetched, copied to a temporary directory and built there.
const (
	kgoModule   = "github.com/twmb/franz-go@v1.22.2"
	kfakeModule = "github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c"
)

// fetchModule brings a module's files into a new directory.
func fetchModule(t *testing.T, module string) string {
	t.Helper()
	elsewhere := t.TempDir() // no module of ours decides which versions
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir, cmd.Env = elsewhere, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`"Dir": "([^"]+)"`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("fetch %s: %v\n%s", module, err, out)
	}
	dir := filepath.Join(t.TempDir(), "module")
	if err := os.CopyFS(dir, os.DirFS(string(found[1]))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildTests builds a package's tests and returns the program.
func buildTests(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "suite.test")
	cmd := exec.Command("go", "test", "-c", "-o", program, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the tests in %s: %v\n%s", dir, err, out)
	}
	return program
}

// suite runs a test program and tells what it says of its tests; the error holds the end of its output.
func suite(t *testing.T, program, dir string, within time.Duration, env []string, args ...string) error {
	t.Helper()
	cmd := exec.Command(program, append([]string{"-test.v", "-test.timeout", within.String()}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.Contains(line, "--- ") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		text := out.String()
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, text[max(0, len(text)-4000):])
	}
	return nil
}

// killTries is how often the suite may be run under kills. A member that has left just before its coordinator is killed is not gone for the next one
// (Kafka writes a group only when its next generation begins), which waits for it as long as its session; franz-go gives a join up after one session if it
// then meets another kill. Which of it happens is chance.
const killTries = 3

// Goal: franz-go's own chain of consumer groups (joins, leaves, static members; every record once, in order) passes with 500,000 records and three
// replicas: alone, and while one broker after the other gets kill -9 every ten seconds and comes back.
func TestInteropFranzGoSuite(t *testing.T) {
	needInterop(t)
	dir := filepath.Join(fetchModule(t, kgoModule), "pkg", "kgo")
	program := buildTests(t, dir)
	run := func(t *testing.T, kills bool) error {
		c := startCluster(t)
		done := make(chan struct{})
		defer close(done)
		if kills {
			go func() {
				for n := 1; ; n++ {
					select {
					case <-done:
						return
					case <-time.After(10 * time.Second):
						c.kill(fmt.Sprintf("broker-%d", n%3+1))
						t.Logf("kill -9 broker-%d", n%3+1)
					}
				}
			}()
		}
		began := time.Now()
		defer func() { t.Logf("%s", time.Since(began).Round(time.Second)) }()
		return suite(t, program, dir, 9*time.Minute, []string{"KGO_SEEDS=" + c.bootstrap, "KGO_TEST_RF=3", "KGO_TEST_RECORDS=500000", "KGO_LOG_LEVEL=none"}, "-test.run", "^TestGroupETL$")
	}
	t.Run("alone", func(t *testing.T) {
		if err := run(t, false); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("kill -9 every 10 s", func(t *testing.T) {
		for try := 1; ; try++ {
			err := run(t, true)
			if err == nil {
				return
			}
			if try == killTries {
				t.Fatal(err)
			}
			t.Logf("try %d of %d: %v", try, killTries, err)
		}
	})
}

// notForUs are tests of kafka_tests that cannot pass here, and why.
var notForUs = map[string]string{
	"TestGroupMaxSize848":                 "KIP-848 is not in ZooKeeper mode",
	"TestStaticMember848FencedInstanceID": "KIP-848 is not in ZooKeeper mode",
	"Test848DescribeGroup":                "KIP-848 is not in ZooKeeper mode",
	"TestFetchOutOfRangeResetLatest":      "watches requests inside of the fake broker",
	"TestAssignConsumeFromEnd":            "watches requests inside of the fake broker",
	"TestFenceBeforeProducerCommit":       "takes CONCURRENT_TRANSACTIONS, which Kafka answers while it aborts, for a failure",
	"TestDescribeProducersAfterCommit":    "Kafka tells of producers until they expire",
}

// Goal: the tests that franz-go's authors made of Kafka's own for their fake broker pass against ours. Method: our stand-in for the fake cluster
// (testdata/kfake) starts 'barnabas up' for each.
func TestInteropKafkaTests(t *testing.T) {
	needInterop(t)
	from := filepath.Join(fetchModule(t, kfakeModule), "kafka_tests")
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(from, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", from, err)
	}
	write := func(name string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Base(f), bytes.ReplaceAll(data, []byte(`"github.com/twmb/franz-go/pkg/kfake"`), []byte(`"kafkatests/kfake"`)))
	}
	standIn, err := os.ReadFile(filepath.Join("testdata", "kfake", "kfake.go.txt"))
	if err != nil {
		t.Fatal(err)
	}
	write("kfake/kfake.go", standIn)
	write("go.mod", []byte("module kafkatests\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/twmb/franz-go v1.22.2\n\tgithub.com/twmb/franz-go/pkg/kadm v1.19.0\n\tgithub.com/twmb/franz-go/pkg/kmsg v1.15.0\n)\n"))
	tidy := exec.Command("go", "mod", "tidy")
	tidy.Dir, tidy.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	program := buildTests(t, dir)
	barnabas := filepath.Join(t.TempDir(), "barnabas")
	if out, err := exec.Command("go", "build", "-o", barnabas, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var skip []string
	for name, why := range notForUs {
		t.Logf("skipped: %s: %s", name, why)
		skip = append(skip, "^"+name+"$")
	}
	if err := suite(t, program, dir, 8*time.Minute, []string{"BARNABAS=" + barnabas}, "-test.parallel", "2", "-test.skip", strings.Join(skip, "|")); err != nil {
		t.Fatal(err)
	}
}
