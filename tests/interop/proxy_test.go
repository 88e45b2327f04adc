package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// example reads a file of deploy/ and replaces what an administrator would have to change. Each old text must be there.
func example(t testing.TB, name string, oldNew ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(s, oldNew[i]) {
			t.Fatalf("deploy/%s has no %q", name, oldNew[i])
		}
		s = strings.ReplaceAll(s, oldNew[i], oldNew[i+1])
	}
	return s
}

// startProxy runs a reverse proxy with our example configuration: TLS on port front, plain HTTP to port back.
func startProxy(t testing.TB, fl flavour, dir string, front, back int) {
	t.Helper()
	upstream := fmt.Sprintf("%s:%d", hostIP, back)
	var cmd *exec.Cmd
	var conf string
	file := filepath.Join(dir, string(fl)+".conf")
	switch fl {
	case caddy:
		conf = "{\n\tadmin off\n\tauto_https off\n}\n" + example(t, "Caddyfile",
			"vpn.example.com {", fmt.Sprintf("https://%s:%d {\n\ttls %s %s", hostName, front, tlsCert, tlsKey),
			"reverse_proxy 127.0.0.1:8080", "reverse_proxy "+upstream)
		cmd = exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", file)
	case haproxy:
		pem := filepath.Join(dir, "haproxy.pem")
		var both []byte
		for _, f := range []string{tlsCert, tlsKey} {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, b...)
		}
		if err := os.WriteFile(pem, both, 0o600); err != nil {
			t.Fatal(err)
		}
		conf = example(t, "haproxy.cfg", "bind :443 ssl crt /etc/haproxy/vpn.example.com.pem",
			fmt.Sprintf("bind %s:%d ssl crt %s", hostIP, front, pem), "server fairlead 127.0.0.1:8080", "server fairlead "+upstream)
		cmd = exec.Command("haproxy", "-db", "-f", file)
	case passV1, passV2:
		// The commented half of the example instead of the other.
		text := example(t, "haproxy.cfg")
		first, second := strings.Index(text, "\nfrontend https"), strings.Index(text, "\n#frontend passthrough")
		if first < 0 || second < first {
			t.Fatal("deploy/haproxy.cfg does not have its two halves")
		}
		conf = text[:first] + strings.ReplaceAll(text[second:], "\n#", "\n")
		for _, r := range [][2]string{{"bind :443", fmt.Sprintf("bind %s:%d", hostIP, front)},
			{"server fairlead 127.0.0.1:8443 send-proxy-v2", "server fairlead " + upstream + " " + string(fl)}} {
			if !strings.Contains(conf, r[0]) {
				t.Fatalf("deploy/haproxy.cfg has no %q", r[0])
			}
			conf = strings.Replace(conf, r[0], r[1], 1)
		}
		cmd = exec.Command("haproxy", "-db", "-f", file)
	case plainHTTP, overTLS:
		t.Fatalf("%s is no proxy", fl)
	}
	if _, err := exec.LookPath(cmd.Path); err != nil {
		t.Skipf("%s is not installed; deploy/deps.sh installs it", cmd.Path)
	}
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(file + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(file + ".log")
			t.Logf("%s:\n%s", fl, b[max(0, len(b)-5000):])
		}
	})
}

// TestBehindProxy: a reverse proxy that ends TLS and pools its connections to us, with our example configuration:
// clients join, find each other, talk directly and through the relay, and streams stay open.
func TestBehindProxy(t *testing.T) {
	for _, fl := range []flavour{caddy, haproxy} {
		t.Run(string(fl), func(t *testing.T) {
			s := newServer(t, fl)
			k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
			a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
			a.sees("beta", "online", 10*time.Second, online)
			b.sees("alpha", "online", 10*time.Second, online)
			a.pingsVia(b, false, 20*time.Second)
			a.reaches(b)
			b.reaches(a)

			// Ordinary requests between the streams share the proxy's pool with them.
			for range 20 {
				s.nodes()
				if _, err := a.ping(b.ip4, tailcfg.PingTSMP, 5*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			rs := joinRaws(t, s, k, "n", 2)
			tryRelay(t, derpURL(t, s, rs[0]), rs[0].node, rs[1].node, key.NewNode())
			a.sees("n001", "", 10*time.Second, func(*ipnstate.PeerStatus) bool { return true })
		})
	}
}
