package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/tailcfg"
)

// ours is a fairlead-client in a network namespace of its own, on a cable to this one: 10.91.0.2 -- 10.91.0.1.
type ours struct {
	t    *testing.T
	cmd  *exec.Cmd
	sock string
	ip4  netip.Addr
	ip6  netip.Addr
	name string
}

func newOurs(t *testing.T, s *server, name, authKey string) *ours {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no /dev/net/tun here")
	}
	dir := t.TempDir()
	c := &ours{t: t, sock: filepath.Join(dir, "sock"), name: name}
	// It waits for its end of the cable, and becomes the daemon then.
	c.cmd = exec.Command("unshare", "-n", "sh", "-c", "read go; ip link set lo up; ip addr add 10.91.0.2/24 dev c1; ip link set c1 up; "+
		"ip route add default via 10.91.0.1; exec \"$@\"", "-", filepath.Join(binDir, "fairlead-client"), "daemon",
		"--state-dir="+filepath.Join(dir, "state"), "--socket="+c.sock, "-v")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Signal(syscall.SIGTERM)
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("fairlead-client: %v", err)
		}
		exec.Command("ip", "link", "del", "c0").Run() // the namespace goes in its own time
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", name, b[max(0, len(b)-5000):])
		}
	})
	pid := fmt.Sprint(c.cmd.Process.Pid)
	eventually(t, 5*time.Second, "a cable into the namespace", func() error {
		was, _ := os.Readlink("/proc/self/ns/net")
		if is, _ := os.Readlink("/proc/" + pid + "/ns/net"); is == was {
			return fmt.Errorf("no namespace yet")
		}
		for _, line := range []string{"link add c0 type veth peer name c1 netns " + pid, "addr add 10.91.0.1/24 dev c0", "link set c0 up"} {
			if b, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %v %s", line, err, b)
			}
		}
		return nil
	})
	in.Write([]byte("\n"))
	in.Close()
	eventually(t, 10*time.Second, "the daemon listens", func() error {
		_, err := c.try("status", "--json")
		return err
	})
	start := time.Now()
	c.cli("up", "--login-server="+s.url, "--auth-key="+authKey, "--hostname="+name, "--accept-dns=false", "--timeout=20s")
	t.Logf("%s: up took %v", name, time.Since(start).Round(time.Millisecond))
	c.ip4 = netip.MustParseAddr(strings.TrimSpace(c.cli("ip", "-4")))
	c.ip6 = netip.MustParseAddr(strings.TrimSpace(c.cli("ip", "-6")))
	return c
}

func (c *ours) try(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(binDir, "fairlead-client"), append([]string{"--socket=" + c.sock}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (c *ours) cli(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("fairlead-client %v: %v\n%s", args, err, out)
	}
	return out
}

// inside runs a command in its namespace.
func (c *ours) inside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-n", "-t", fmt.Sprint(c.cmd.Process.Pid)}, args...)...)
}

// reaches wants a node's TCP answer at each of its addresses, through the kernel.
func (c *ours) reaches(n *node) {
	c.t.Helper()
	for _, a := range []netip.Addr{n.ip4, n.ip6} {
		start := time.Now()
		eventually(c.t, 10*time.Second, fmt.Sprintf("%s -> %s", c.name, a), func() error {
			b, err := c.inside("timeout", "2", "bash", "-c", fmt.Sprintf("cat </dev/tcp/%s/7000", a)).CombinedOutput()
			if said := string(b); err != nil || said != n.Hostname+" "+c.ip4.String() && said != n.Hostname+" "+c.ip6.String() {
				return fmt.Errorf("%q %v", b, err)
			}
			return nil
		})
		c.t.Logf("%s -> %s at %v: %v", c.name, n.Hostname, a, time.Since(start).Round(time.Millisecond))
	}
}

// serves answers TCP 7000 on all its addresses until the test ends.
func (c *ours) serves() {
	c.t.Helper()
	cmd := c.inside("python3", "-c", "import socket\ns = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)\n"+
		"while True:\n c, _ = s.accept()\n c.sendall(b'ours')\n c.close()\n")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

func (c *ours) isReachedBy(n *node) {
	c.t.Helper()
	for _, a := range []netip.Addr{c.ip4, c.ip6} {
		said, took, err := n.ask(netip.AddrPortFrom(a, 7000).String(), 20*time.Second)
		if err != nil || said != "ours" {
			c.t.Fatalf("%s -> %v: %q %v", n.Hostname, a, said, err)
		}
		c.t.Logf("%s -> %s at %v: %v", n.Hostname, c.name, a, took.Round(time.Millisecond))
	}
}

// curAddr is how our client reaches a peer now; "": by relay.
func (c *ours) curAddr(name string) string {
	c.t.Helper()
	var st struct {
		Peer map[string]struct{ HostName, CurAddr, Relay string }
	}
	if err := json.Unmarshal([]byte(c.cli("status", "--json")), &st); err != nil {
		c.t.Fatal(err)
	}
	for _, p := range st.Peer {
		if p.HostName == name {
			return p.CurAddr
		}
	}
	c.t.Fatalf("our client does not see %s", name)
	return ""
}

// TestOurClientDirect: fairlead-client and an official one, both ways, directly; whoever comes first.
func TestOurClientDirect(t *testing.T) {
	for _, first := range []string{"official", "ours"} {
		t.Run(first+" first", func(t *testing.T) {
			s := newServer(t, plainHTTP)
			k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
			var n *node
			if first == "official" {
				n = join(t, s, "official", k)
			}
			c := newOurs(t, s, "ours", k)
			if n == nil {
				n = join(t, s, "official", k)
			}
			c.serves()
			c.reaches(n)
			c.isReachedBy(n)
			eventually(t, 10*time.Second, "our client goes directly", func() error {
				c.try("ping", "-c", "1", "official")
				if c.curAddr("official") == "" {
					return fmt.Errorf("by relay")
				}
				return nil
			})
			eventually(t, 20*time.Second, "the official client goes directly", func() error {
				r, err := n.ping(c.ip4, tailcfg.PingDisco, 5*time.Second)
				if err != nil || r.Endpoint == "" {
					return fmt.Errorf("%v %v", r, err)
				}
				return nil
			})
			for _, kind := range []tailcfg.PingType{tailcfg.PingICMP} {
				if _, err := n.ping(c.ip4, kind, 10*time.Second); err != nil {
					t.Errorf("%s ping: %v", kind, err)
				}
			}
			if who, err := n.whoIs(c.ip4); err != nil || who.Node.ComputedName != "ours" {
				t.Errorf("whois: %v %v", who, err)
			}
			// Ours restarts its session; the official one goes on with it.
			c.cli("down")
			c.cli("up")
			c.reaches(n)
			c.isReachedBy(n)
		})
	}
}

// TestOurClientRelayed: the same where the official client has no UDP: everything goes through our relay, TLS included.
func TestOurClientRelayed(t *testing.T) {
	envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "true")
	defer envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "")
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		// The cable first: an official client whose interfaces change does not end in this mode (v1.103.0-pre).
		c := newOurs(t, s, "ours", k)
		n := join(t, s, "official", k)
		c.serves()
		c.reaches(n)
		c.isReachedBy(n)
		out, _ := c.try("ping", "-c", "2", "official")
		if !strings.Contains(out, "via DERP(lab)") || c.curAddr("official") != "" {
			t.Errorf("not by the relay: %s", out)
		}
	})
}
