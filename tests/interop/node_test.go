package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

// node is one official client in this process. It answers on TCP 7000 with "NAME PEER-ADDRESS" and echoes on 7001.
type node struct {
	*tsnet.Server
	t   testing.TB
	ip4 netip.Addr
	ip6 netip.Addr

	logMu sync.Mutex
	log   []string
}

// newNode makes a client that has not started yet. Its folder is fresh, so it is a new machine.
func newNode(t testing.TB, s *server, name, authKey string) *node {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return nodeIn(t, s, name, authKey, dir)
}

// nodeIn is newNode in a folder that may hold an earlier client's state.
func nodeIn(t testing.TB, s *server, name, authKey, dir string) *node {
	t.Helper()
	n := &node{t: t}
	n.Server = &tsnet.Server{Hostname: name, Dir: dir, ControlURL: s.url, AuthKey: authKey, Logf: n.logf, UserLogf: n.logf}
	t.Cleanup(func() {
		n.Close()
		if t.Failed() {
			n.logMu.Lock()
			defer n.logMu.Unlock()
			from := max(0, len(n.log)-80)
			t.Logf("%s (end of its log):\n%s", name, strings.Join(n.log[from:], "\n"))
		}
	})
	return n
}

func (n *node) logf(format string, args ...any) {
	n.logMu.Lock()
	defer n.logMu.Unlock()
	n.log = append(n.log, time.Now().Format("15:04:05.000 ")+strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// join makes a client, waits until it is Running, checks its addresses and opens its TCP services.
func join(t testing.TB, s *server, name, authKey string) *node {
	t.Helper()
	n := newNode(t, s, name, authKey)
	n.up()
	return n
}

func (n *node) up() {
	n.t.Helper()
	st, err := n.Up(within(n.t, 40*time.Second))
	if err != nil {
		n.t.Fatalf("%s: %v", n.Hostname, err)
	}
	n.ready(st)
}

// noteAddrs notes the addresses of a client that runs.
func (n *node) noteAddrs(st *ipnstate.Status) {
	n.t.Helper()
	if err := checkAddrs(st.TailscaleIPs); err != nil {
		n.t.Fatalf("%s: %v", n.Hostname, err)
	}
	n.ip4, n.ip6 = st.TailscaleIPs[0], st.TailscaleIPs[1]
}

// ready notes the addresses of a client that runs and serves on them.
func (n *node) ready(st *ipnstate.Status) {
	n.t.Helper()
	n.noteAddrs(st)
	n.serve(7000, func(c net.Conn) {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		fmt.Fprintf(c, "%s %s", n.Hostname, host)
	})
	n.serve(7001, func(c net.Conn) { io.Copy(c, c) })
}

func (n *node) serve(port int, f func(net.Conn)) {
	n.t.Helper()
	l, err := n.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		n.t.Fatalf("%s: listen %d: %v", n.Hostname, port, err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
}

func (n *node) status() *ipnstate.Status {
	n.t.Helper()
	lc, err := n.LocalClient()
	if err != nil {
		n.t.Fatal(err)
	}
	st, err := lc.Status(within(n.t, 10*time.Second))
	if err != nil {
		n.t.Fatalf("%s: status: %v", n.Hostname, err)
	}
	return st
}

// peer finds a peer by its DNS label in this client's netmap; nil if it knows none.
func (n *node) peer(label string) *ipnstate.PeerStatus {
	n.t.Helper()
	for _, p := range n.status().Peer {
		if l, _, _ := strings.Cut(p.DNSName, "."); l == label {
			return p
		}
	}
	return nil
}

// sees waits until this client has a peer of that label for which ok holds.
func (n *node) sees(label, what string, d time.Duration, ok func(*ipnstate.PeerStatus) bool) time.Duration {
	n.t.Helper()
	return eventually(n.t, d, fmt.Sprintf("%s sees %s %s", n.Hostname, label, what), func() error {
		p := n.peer(label)
		if p == nil {
			return errors.New("no such peer")
		}
		if !ok(p) {
			return fmt.Errorf("online=%v dns=%s ips=%v tags=%v", p.Online, p.DNSName, p.TailscaleIPs, p.Tags)
		}
		return nil
	})
}

// forgets waits until this client knows no peer of that label.
func (n *node) forgets(label string, d time.Duration) time.Duration {
	n.t.Helper()
	return eventually(n.t, d, fmt.Sprintf("%s forgets %s", n.Hostname, label), func() error {
		if n.peer(label) != nil {
			return errors.New("still there")
		}
		return nil
	})
}

func online(p *ipnstate.PeerStatus) bool  { return p.Online }
func offline(p *ipnstate.PeerStatus) bool { return !p.Online }

// inState waits for a backend state such as NeedsLogin.
func (n *node) inState(state string, d time.Duration) time.Duration {
	n.t.Helper()
	return eventually(n.t, d, fmt.Sprintf("%s is %s", n.Hostname, state), func() error {
		if got := n.status().BackendState; got != state {
			return errors.New("is " + got)
		}
		return nil
	})
}

// authURL waits until the client offers a page to log in at.
func (n *node) authURL() string {
	n.t.Helper()
	url := ""
	eventually(n.t, 30*time.Second, n.Hostname+" shows a login URL", func() error {
		if url = n.status().AuthURL; url == "" { // 1.80 hides it while it was Running; its log has it
			url = n.lastAuthURL()
		}
		if url == "" {
			return errors.New("none")
		}
		return nil
	})
	return url
}

// lastAuthURL is the page that the client's log named last, unless it has logged in since.
func (n *node) lastAuthURL() string {
	n.logMu.Lock()
	defer n.logMu.Unlock()
	for _, line := range slices.Backward(n.log) {
		if strings.Contains(line, "machineAuthorized=true") {
			return ""
		}
		if _, url, ok := strings.Cut(line, "AuthURL is "); ok {
			return url
		}
	}
	return ""
}

// login does what `tailscale up --login-server URL` does, has user approve it, and waits until the client runs.
func (n *node) login(s *server, user string) {
	n.t.Helper()
	ctx := within(n.t, 20*time.Second)
	lc, err := n.LocalClient()
	if err != nil {
		n.t.Fatal(err)
	}
	prefs, err := lc.GetPrefs(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	if prefs.ControlURL != s.url { // a logout forgets the server, and all else
		prefs.ControlURL, prefs.Hostname, prefs.WantRunning = s.url, n.Hostname, true
		if err := lc.Start(ctx, ipn.Options{UpdatePrefs: prefs}); err != nil {
			n.t.Fatalf("%s: start: %v", n.Hostname, err)
		}
	}
	if err := lc.StartLoginInteractive(ctx); err != nil {
		n.t.Fatalf("%s: login: %v", n.Hostname, err)
	}
	s.approve(n.authURL(), user)
	n.isNodeOf(s, 20*time.Second)
}

// isNodeOf waits until a client runs as the node that the server has under its key. Running alone says nothing: a client that
// was deleted while it was away runs on what it remembers, with addresses that are no longer its own.
func (n *node) isNodeOf(s *server, d time.Duration) {
	n.t.Helper()
	eventually(n.t, d, n.Hostname+" runs as a node of the server", func() error {
		st := n.status()
		if st.BackendState != "Running" {
			return errors.New("is " + st.BackendState)
		}
		var have []string
		for _, ip := range st.TailscaleIPs {
			have = append(have, ip.String())
		}
		for _, at := range s.nodes() {
			if at.NodeKey == st.Self.PublicKey.String() {
				if !slices.Equal(have, at.IPAddresses) {
					return fmt.Errorf("has addresses %v, the server says %v", have, at.IPAddresses)
				}
				return nil
			}
		}
		return fmt.Errorf("the server has no node with key %s", st.Self.PublicKey.ShortString())
	})
}

// loginByKey does what `tailscale up --force-reauth --auth-key KEY` does.
func (n *node) loginByKey(authKey string) {
	n.t.Helper()
	ctx := within(n.t, 20*time.Second)
	lc, err := n.LocalClient()
	if err != nil {
		n.t.Fatal(err)
	}
	prefs, err := lc.GetPrefs(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := lc.Start(ctx, ipn.Options{AuthKey: authKey, UpdatePrefs: prefs}); err != nil {
		n.t.Fatalf("%s: start: %v", n.Hostname, err)
	}
	if err := lc.StartLoginInteractive(ctx); err != nil {
		n.t.Fatalf("%s: login: %v", n.Hostname, err)
	}
}

// joinByLogin makes a client that has no key and is let in by an admin.
func joinByLogin(t testing.TB, s *server, name, user string) *node {
	t.Helper()
	n := newNode(t, s, name, "")
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	s.approve(n.authURL(), user)
	n.isNodeOf(s, 20*time.Second)
	n.ready(n.status())
	return n
}

// ask reads what addr says; it retries for d, since the first packet to a new peer may have to wait for a handshake.
func (n *node) ask(addr string, d time.Duration) (string, time.Duration, error) {
	start := time.Now()
	var last error
	for time.Since(start) < d {
		ctx, cancel := context.WithTimeout(context.Background(), min(8*time.Second, d))
		c, err := n.Dial(ctx, "tcp", addr)
		cancel()
		if err != nil {
			last = err
			time.Sleep(50 * time.Millisecond)
			continue
		}
		c.SetDeadline(time.Now().Add(8 * time.Second))
		b, err := io.ReadAll(c)
		c.Close()
		if err == nil && len(b) > 0 {
			return string(b), time.Since(start), nil
		}
		last = fmt.Errorf("read %q: %v", b, err)
	}
	return "", time.Since(start), last
}

// reaches wants a TCP answer from to at each of addrs (or its addresses of both families), seen as coming from n.
func (n *node) reaches(to *node, addrs ...string) {
	n.t.Helper()
	if len(addrs) == 0 {
		addrs = []string{to.ip4.String(), to.ip6.String()}
	}
	for _, a := range addrs {
		said, took, err := n.ask(net.JoinHostPort(a, "7000"), 30*time.Second)
		if err != nil {
			n.t.Fatalf("%s -> %s at %s: %v", n.Hostname, to.Hostname, a, err)
		}
		if said != fmt.Sprintf("%s %s", to.Hostname, n.ip4) && said != fmt.Sprintf("%s %s", to.Hostname, n.ip6) {
			n.t.Fatalf("%s -> %s at %s: it said %q", n.Hostname, to.Hostname, a, said)
		}
		n.t.Logf("%s -> %s at %s: %v", n.Hostname, to.Hostname, a, took.Round(time.Millisecond))
	}
}

// ping sends a ping of a kind and returns its result.
func (n *node) ping(to netip.Addr, kind tailcfg.PingType, d time.Duration) (*ipnstate.PingResult, error) {
	lc, err := n.LocalClient()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	r, err := lc.Ping(ctx, to, kind)
	if err != nil {
		return nil, err
	}
	if r.Err != "" {
		return nil, errors.New(r.Err)
	}
	return r, nil
}

func (n *node) whoIs(ip netip.Addr) (*apitype.WhoIsResponse, error) {
	lc, err := n.LocalClient()
	if err != nil {
		return nil, err
	}
	return lc.WhoIs(within(n.t, 5*time.Second), ip.String())
}

// pingsVia waits until a disco ping goes directly (or, when relayed, through a relay).
func (n *node) pingsVia(to *node, relayed bool, d time.Duration) {
	n.t.Helper()
	took := eventually(n.t, d, fmt.Sprintf("%s pings %s (relayed: %v)", n.Hostname, to.Hostname, relayed), func() error {
		r, err := n.ping(to.ip4, tailcfg.PingDisco, 5*time.Second)
		if err != nil {
			return err
		}
		if direct := r.Endpoint != ""; direct == relayed {
			return fmt.Errorf("endpoint %q, relay %d", r.Endpoint, r.DERPRegionID)
		}
		return nil
	})
	n.t.Logf("%s pings %s (relayed: %v) after %v", n.Hostname, to.Hostname, relayed, took.Round(time.Millisecond))
}

// echo opens a connection to the peer's echo service and returns a function that sends a line through it.
func (n *node) echo(to *node) func(string) error {
	n.t.Helper()
	var c net.Conn
	eventually(n.t, 30*time.Second, fmt.Sprintf("%s opens a connection to %s", n.Hostname, to.Hostname), func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		c, err = n.Dial(ctx, "tcp", net.JoinHostPort(to.ip4.String(), "7001"))
		return err
	})
	n.t.Cleanup(func() { c.Close() })
	return func(text string) error {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		b := make([]byte, len(text))
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if string(b) != text {
			return fmt.Errorf("echo said %q, want %q", b, text)
		}
		return nil
	}
}
