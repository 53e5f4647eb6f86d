package zktest_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/osenv/gozk"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/client"
	"barnabas/broker/zookeeper/server"
	"barnabas/broker/zookeeper/zktest"
)

// tickMs is long enough for a busy machine to keep an idle session of two ticks.
const tickMs = 500

var openers = []struct {
	name string
	open zookeeper.Opener
}{{"env-client", client.Open}, {"go-zookeeper", gozk.Open}}

// testWriter shows the events of a test that fails.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func newEnv(t *testing.T, name string) *osenv.Env {
	if !testing.Verbose() {
		return osenv.New(osenv.Options{})
	}
	e := osenv.New(osenv.Options{Name: name, LogWriter: testWriter{t}, LogLevel: env.Debug})
	t.Cleanup(e.Flush)
	return e
}

// runSuite runs every case with every client.
func runSuite(t *testing.T, w zktest.World) {
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			for _, c := range zktest.Cases() {
				t.Run(c.Name, func(t *testing.T) {
					w := w
					w.Env, w.Open, w.ProxyAddr, w.TickMs = newEnv(t, "client"), o.open, "127.0.0.1:0", tickMs
					// Both clients run on one server, so each has names of its own.
					c.Name = o.name + "-" + c.Name
					if err := c.Run(&w); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// embedded is a server that can be restarted.
type embedded struct {
	t      *testing.T
	cfg    server.Config
	server *server.Server
	ended  chan error
}

func startEmbedded(t *testing.T) *embedded {
	em := &embedded{t: t, cfg: server.Config{
		Addr: "127.0.0.1:0", DataDir: filepath.Join(t.TempDir(), "zk"), TickMs: tickMs, SnapshotEvery: 50,
	}}
	if err := em.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := em.stop(); err != nil {
			t.Error(err)
		}
	})
	return em
}

func (em *embedded) start() error {
	s, err := server.New(newEnv(em.t, "server"), em.cfg)
	if err != nil {
		return err
	}
	em.cfg.Addr, em.server, em.ended = s.Addr(), s, make(chan error, 1)
	go func() { em.ended <- s.Run() }()
	return nil
}

func (em *embedded) stop() error {
	em.server.Close()
	return <-em.ended
}

func (em *embedded) restart() error {
	if err := em.stop(); err != nil {
		return err
	}
	return em.start()
}

// Goal: both clients and the embedded server do together what ZooKeeper does. Method: the conformance suite on
// loopback sockets.
func TestEmbeddedServerConforms(t *testing.T) {
	em := startEmbedded(t)
	runSuite(t, zktest.World{
		Server: em.server.Addr(), Restart: em.restart, Expire: func(id int64) { em.server.ExpireSession(id) },
	})
}

// Goal: the suite asks nothing that Apache ZooKeeper does not do. Method: the same, against Apache ZooKeeper 3.8, whose
// jars BARNABAS_ZK_CLASSPATH names (Debian's zookeeper: /usr/share/java/zookeeper.jar).
func TestApacheZooKeeperConforms(t *testing.T) {
	classpath := os.Getenv("BARNABAS_ZK_CLASSPATH")
	if classpath == "" {
		t.Skip("BARNABAS_ZK_CLASSPATH is not set")
	}
	ap := &apache{t: t, classpath: classpath, addr: freeAddr(t), dir: t.TempDir()}
	if err := ap.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ap.kill)
	runSuite(t, zktest.World{Server: ap.addr, Restart: ap.restart})
}

// apache is a process of Apache ZooKeeper.
type apache struct {
	t         *testing.T
	classpath string
	addr      string
	dir       string
	cmd       *exec.Cmd
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (ap *apache) start() error {
	_, port, _ := net.SplitHostPort(ap.addr)
	cfg := filepath.Join(ap.dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=%d\ndataDir=%s/data\nclientPort=%s\nclientPortAddress=127.0.0.1\n"+
		"admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n", tickMs, ap.dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(ap.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ap.cmd = exec.Command("java", "-Xmx256m", "-cp", ap.classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	ap.cmd.Stdout, ap.cmd.Stderr = log, log
	if err := ap.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", ap.addr); err == nil {
			conn.Close()
			return nil
		}
	}
	out, _ := os.ReadFile(log.Name())
	return fmt.Errorf("Apache ZooKeeper does not listen:\n%s", out)
}

func (ap *apache) kill() {
	ap.cmd.Process.Kill()
	ap.cmd.Wait()
}

func (ap *apache) restart() error {
	ap.kill()
	return ap.start()
}
