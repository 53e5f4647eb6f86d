package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// Goal: what is measured is the process that listens on the address, and not another on the same port of another address. Method: this process
// listens on one loopback address, then on all, in IPv6 too; who asks for the port of another address finds nobody.
func TestListeners(t *testing.T) {
	listen := func(network, addr string) int {
		t.Helper()
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Skipf("%s %s: %v", network, addr, err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).Port
	}
	us := []int{os.Getpid()}
	one, all := listen("tcp4", "127.84.3.1:0"), listen("tcp4", "0.0.0.0:0")
	for addr, want := range map[string][]int{
		fmt.Sprintf("127.84.3.1:%d", one): us,
		fmt.Sprintf("127.84.3.2:%d", one): nil,
		fmt.Sprintf("127.84.3.2:%d", all): us,
		"127.0.0.1:1":                     nil,
	} {
		if got := listeners([]string{addr}); !slices.Equal(got, want) {
			t.Errorf("%s: processes %v, want %v", addr, got, want)
		}
	}
	t.Run("kept for a child", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.84.3.1:0")
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		child := exec.Command("sleep", "60")
		child.ExtraFiles = []*os.File{file}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer child.Process.Kill()
		if got := listeners([]string{l.Addr().String()}); !slices.Equal(got, []int{child.Process.Pid}) {
			t.Errorf("processes %v, want the child alone, %d", got, child.Process.Pid)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		six := listen("tcp6", "[::1]:0")
		if got := listeners([]string{fmt.Sprintf("[::1]:%d", six)}); !slices.Equal(got, us) {
			t.Errorf("processes %v, want %v", got, us)
		}
	})
}
