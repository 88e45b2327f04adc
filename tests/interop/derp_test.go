package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
)

// relay is one derphttp client and what it has received.
type relay struct {
	*derphttp.Client
	key  key.NodePrivate
	msgs chan derp.ReceivedMessage
}

func dialRelay(t testing.TB, url string, k key.NodePrivate) *relay {
	t.Helper()
	c, err := derphttp.NewClient(k, url, t.Logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Connect(within(t, 10*time.Second)); err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	r := &relay{c, k, make(chan derp.ReceivedMessage, 100)}
	go func() {
		for {
			m, err := c.Recv()
			if err != nil {
				close(r.msgs)
				return
			}
			if p, ok := m.(derp.ReceivedPacket); ok {
				p.Data = bytes.Clone(p.Data) // valid until the next Recv only
				m = p
			}
			r.msgs <- m
		}
	}()
	// Connect may return before the relay has the key in its table; a pong comes after.
	if err := c.Ping(within(t, 5*time.Second)); err != nil {
		t.Fatalf("relay ping: %v", err)
	}
	return r
}

// packet waits for a packet from a peer; other messages are passed over.
func (r *relay) packet(from key.NodePublic, d time.Duration) ([]byte, error) {
	end := time.After(d)
	for {
		select {
		case m, ok := <-r.msgs:
			if !ok {
				return nil, errors.New("the connection ended")
			}
			if p, ok := m.(derp.ReceivedPacket); ok && p.Source == from {
				return p.Data, nil
			}
		case <-end:
			return nil, fmt.Errorf("nothing within %v", d)
		}
	}
}

// relayed sends data from a to b and wants it to arrive.
func relayed(t testing.TB, a, b *relay, data []byte) {
	t.Helper()
	if err := a.Send(b.key.Public(), data); err != nil {
		t.Fatal(err)
	}
	got, err := b.packet(a.key.Public(), 5*time.Second)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes sent, %d came: %v", len(data), len(got), err)
	}
}

// admitted says whether the relay serves a key: the refusal may come after the client's half of the handshake, so what
// counts is whether it answers a ping.
func admitted(t testing.TB, url string, k key.NodePrivate) bool {
	t.Helper()
	c, err := derphttp.NewClient(k, url, func(string, ...any) {}, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Connect(within(t, 5*time.Second)) != nil {
		return false
	}
	go func() {
		for {
			if _, err := c.Recv(); err != nil {
				return
			}
		}
	}()
	return c.Ping(within(t, 2*time.Second)) == nil
}

// tryRelay is what all relays of ours must do for two admitted keys and one that is not.
func tryRelay(t *testing.T, url string, a, b, stranger key.NodePrivate) {
	ra, rb := dialRelay(t, url, a), dialRelay(t, url, b)
	relayed(t, ra, rb, []byte("to b"))
	relayed(t, rb, ra, []byte("to a"))
	big := make([]byte, derp.MaxPacketSize)
	rand.Read(big)
	relayed(t, ra, rb, big)
	relayed(t, rb, ra, []byte{0})
	ra.NotePreferred(true)

	// Order is kept and nothing is lost between two that read.
	const n = 300
	go func() {
		for i := range n {
			ra.Send(b.Public(), fmt.Appendf(nil, "packet %d", i))
			if i%16 == 15 {
				time.Sleep(2 * time.Millisecond) // queues hold 32
			}
		}
	}()
	for i := range n {
		got, err := rb.packet(a.Public(), 5*time.Second)
		if want := fmt.Sprintf("packet %d", i); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}

	// A peer that leaves is reported to whom it has sent; one that is not there, to who sends to it.
	rb.Close()
	gone := func(why string, peer key.NodePublic, reason derp.PeerGoneReasonType) {
		t.Helper()
		end := time.After(8 * time.Second)
		for {
			select {
			case m := <-ra.msgs:
				if g, ok := m.(derp.PeerGoneMessage); ok && g.Peer == peer && g.Reason == reason {
					return
				}
			case <-end:
				t.Fatalf("no PeerGone: %s", why)
			}
		}
	}
	gone("b disconnected", b.Public(), derp.PeerGoneReasonDisconnected)
	nobody := key.NewNode().Public()
	// Upstream answers only what looks like disco (derp.md 6), and so do we.
	if err := ra.Send(nobody, append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, 32+24+16+2)...)); err != nil {
		t.Fatal(err)
	}
	gone("nobody there", nobody, derp.PeerGoneReasonNotHere)

	// A second connection with the same key takes over, the first is not needed for it to work.
	rb = dialRelay(t, url, b)
	again := dialRelay(t, url, b)
	eventually(t, 5*time.Second, "the newest of two connections gets the packets", func() error {
		if err := ra.Send(b.Public(), []byte("who?")); err != nil {
			return err
		}
		_, err := again.packet(a.Public(), 200*time.Millisecond)
		return err
	})
	rb.Close()

	if admitted(t, url, stranger) {
		t.Error("a key of no node was admitted")
	}
}

// derpURL is where the server's own relay answers, taken from the DERP map that it gives to clients.
func derpURL(t testing.TB, s *server, r *raw) string {
	t.Helper()
	m, err := r.fullMap(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if m.DERPMap == nil || m.DERPMap.Regions[900] == nil {
		t.Fatalf("no region 900 in %s", m.json)
	}
	for _, n := range m.DERPMap.Regions[900].Nodes {
		if n.STUNOnly {
			continue
		}
		port := n.DERPPort
		if port == 0 {
			port = 443
		}
		return fmt.Sprintf("https://%s:%d/derp", n.HostName, port)
	}
	t.Fatalf("region 900 has no relay in %s", m.json)
	return ""
}

// TestDERP: the relay inside the server.
func TestDERP(t *testing.T) {
	s := newServer(t, overTLS)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", 2)
	url := derpURL(t, s, rs[0])
	tryRelay(t, url, rs[0].node, rs[1].node, key.NewNode())

	for path, want := range map[string]int{"/derp/probe": 200, "/derp/latency-check": 200, "/generate_204": 204, "/derp": 426} {
		r, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, r.Status, want)
		}
	}
	req, _ := http.NewRequest("GET", s.url+"/generate_204", nil)
	req.Header.Set("X-Tailscale-Challenge", "abc123")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if got := r.Header.Get("X-Tailscale-Response"); got != "response abc123" {
		t.Errorf("captive portal challenge: %q", got)
	}
}

// derpAlone is fairlead-derp as a process on a port of its own.
type derpAlone struct {
	t    testing.TB
	url  string
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *os.File
}

func newDerpAlone(t testing.TB, port int, args ...string) *derpAlone {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("%s:%d", hostIP, port)
	d := &derpAlone{t: t, addr: addr, dir: dir, log: log, url: fmt.Sprintf("https://%s:%d/derp", hostName, port)}
	d.args = append([]string{"--hostname", hostName, "--listen", addr, "--http", "off", "--stun", addr, "--cert", tlsCert,
		"--key", tlsKey, "--state", dir}, args...)
	d.start()
	t.Cleanup(func() {
		d.kill()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("fairlead-derp on %d:\n%s", port, text[max(0, len(text)-8000):])
		}
	})
	return d
}

func (d *derpAlone) start() {
	d.t.Helper()
	d.cmd = exec.Command(filepath.Join(binDir, "fairlead-derp"), d.args...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, 10*time.Second, "fairlead-derp listens", func() error {
		c, err := net.Dial("tcp", d.addr)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (d *derpAlone) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// TestDERPAlone: the same with fairlead-derp, which admits the keys of a file.
func TestDERPAlone(t *testing.T) {
	a, b := key.NewNode(), key.NewNode()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, fmt.Appendf(nil, "%s\n%s\n", a.Public(), b.Public()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDerpAlone(t, freePort(t), "--allow-keys", keys)
	tryRelay(t, d.url, a, b, key.NewNode())
}

// meshKeyFile holds a fresh mesh key.
func meshKeyFile(t testing.TB) (path, hex string) {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	hex = fmt.Sprintf("%x", b)
	path = filepath.Join(t.TempDir(), "mesh.key")
	if err := os.WriteFile(path, []byte(hex+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, hex
}

// acrossMesh wants packets both ways between clients of two relays, before and after one of them is away for a moment.
func acrossMesh(t *testing.T, urlA, urlB string, restartB func()) {
	t.Helper()
	a, b := key.NewNode(), key.NewNode()
	ra, rb := dialRelay(t, urlA, a), dialRelay(t, urlB, b)
	try := func(from, to *relay, d time.Duration) {
		t.Helper()
		start := time.Now()
		eventually(t, d, "a packet crosses the mesh", func() error {
			if err := from.Send(to.key.Public(), []byte("over")); err != nil {
				return err
			}
			_, err := to.packet(from.key.Public(), 200*time.Millisecond)
			return err
		})
		t.Logf("crossed after %v", time.Since(start).Round(time.Millisecond))
	}
	try(ra, rb, 20*time.Second)
	try(rb, ra, 20*time.Second)
	big := make([]byte, derp.MaxPacketSize)
	rand.Read(big)
	drain(rb)
	relayed(t, ra, rb, big)

	// Order is kept for a pair, and nothing comes twice.
	const n = 200
	go func() {
		for i := range n {
			ra.Send(b.Public(), fmt.Appendf(nil, "packet %d", i))
			if i%8 == 7 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	}()
	for i := range n {
		got, err := rb.packet(a.Public(), 5*time.Second)
		if want := fmt.Sprintf("packet %d", i); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}

	// b goes: who heard from it is told, although it was at the other relay.
	rb.Close()
	end := time.After(8 * time.Second)
	for told := false; !told; {
		select {
		case m := <-ra.msgs:
			g, ok := m.(derp.PeerGoneMessage)
			told = ok && g.Peer == b.Public() && g.Reason == derp.PeerGoneReasonDisconnected
		case <-end:
			t.Fatal("a was not told that b has gone")
		}
	}
	if restartB == nil {
		return
	}
	restartB()
	rb = dialRelay(t, urlB, b)
	try(ra, rb, 20*time.Second)
	try(rb, ra, 20*time.Second)
}

// drain takes what has come and waits until nothing more does.
func drain(r *relay) {
	for {
		select {
		case <-r.msgs:
		case <-time.After(300 * time.Millisecond):
			return
		}
	}
}

// TestMesh: two of our relays in one region, one of which is killed and comes back.
func TestMesh(t *testing.T) {
	file, _ := meshKeyFile(t)
	portA, portB := freePort(t), freePort(t)
	with := fmt.Sprintf("%s:%d,%s:%d", hostName, portA, hostName, portB) // each has itself in the list, too
	ca := os.Getenv("SSL_CERT_FILE")
	a := newDerpAlone(t, portA, "--mesh-key-file", file, "--mesh-with", with, "--mesh-ca", ca)
	b := newDerpAlone(t, portB, "--mesh-key-file", file, "--mesh-with", with, "--mesh-ca", ca)
	acrossMesh(t, a.url, b.url, func() { b.kill(); b.start() })
}

// TestAdmission: a node that is deleted is no longer admitted by the relay.
func TestAdmission(t *testing.T) {
	s := newServer(t, overTLS)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", 2)
	url := derpURL(t, s, rs[0])
	a, b := dialRelay(t, url, rs[0].node), dialRelay(t, url, rs[1].node)
	relayed(t, a, b, []byte("hello"))
	s.rest("DELETE", "/node/"+s.nodeNamed("n001").ID, nil, nil)
	b.Close()
	if admitted(t, url, rs[1].node) {
		t.Error("a deleted node's key was admitted")
	}
}

// TestSTUN: both STUN ports answer with our own address.
func TestSTUN(t *testing.T) {
	s := newServer(t, plainHTTP)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", 1)
	m, err := rs[0].fullMap(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, n := range m.DERPMap.Regions[900].Nodes {
		port := n.STUNPort
		if port < 0 {
			continue
		}
		if port == 0 {
			port = 3478
		}
		tried++
		ip := n.IPv4
		if ip == "" {
			ip = n.HostName
		}
		c, err := net.Dial("udp", net.JoinHostPort(ip, fmt.Sprint(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		tx := stun.NewTxID()
		c.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := c.Write(stun.Request(tx)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		k, err := c.Read(buf)
		if err != nil {
			t.Errorf("STUN %s on port %d: %v", n.Name, port, err)
			continue
		}
		gotTx, addr, err := stun.ParseResponse(buf[:k])
		if err != nil || gotTx != tx || addr.String() != c.LocalAddr().String() {
			t.Errorf("STUN %s on port %d: %v %v, want %v", n.Name, port, addr, err, c.LocalAddr())
		}
	}
	if tried == 0 {
		t.Error("the DERP map has no STUN server")
	}
	if !strings.Contains(string(m.json), `"STUNOnly":true`) {
		t.Log("no STUN-only node: the second port is off")
	}
}

// TestDERPVerify: fairlead-derp asks the server's /verify who may come in; a node that is deleted is disconnected.
func TestDERPVerify(t *testing.T) {
	s := newServer(t, plainHTTP)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", 2)
	d := newDerpAlone(t, freePort(t), "--verify-client-url", s.url+"/verify", "--verify-again", "1", "--verify-fail", "closed")
	a, b := dialRelay(t, d.url, rs[0].node), dialRelay(t, d.url, rs[1].node)
	relayed(t, a, b, []byte("hello"))
	if admitted(t, d.url, key.NewNode()) {
		t.Error("a key of no node was admitted")
	}
	relayed(t, a, b, []byte("after being asked about again"))
	s.rest("DELETE", "/node/"+s.nodeNamed("n001").ID, nil, nil)
	start := time.Now()
	for gone := false; !gone; {
		select {
		case _, ok := <-b.msgs:
			gone = !ok
		case <-time.After(10 * time.Second):
			t.Fatal("a deleted node stays connected")
		}
	}
	t.Logf("disconnected %v after its deletion", time.Since(start).Round(time.Millisecond))
	relayed(t, a, a, []byte("still here"))

	// The server does not answer: those who are here stay, and how newcomers fare is the setting's.
	closed := newDerpAlone(t, freePort(t), "--verify-client-url", fmt.Sprintf("http://%s:%d/verify", hostIP, freePort(t)),
		"--verify-fail", "closed")
	if admitted(t, closed.url, rs[0].node) {
		t.Error("admitted without an answer, although --verify-fail closed")
	}
	open := newDerpAlone(t, freePort(t), "--verify-client-url", fmt.Sprintf("http://%s:%d/verify", hostIP, freePort(t)),
		"--verify-again", "1")
	o := dialRelay(t, open.url, rs[0].node)
	time.Sleep(2500 * time.Millisecond) // asked again meanwhile, in vain
	relayed(t, o, o, []byte("stays"))
}
