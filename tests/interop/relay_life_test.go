package interop

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

// derpRegion is a region of our relays, in this order.
func derpRegion(id int, ports ...int) *tailcfg.DERPRegion {
	r := &tailcfg.DERPRegion{RegionID: id, RegionCode: fmt.Sprintf("r%d", id), RegionName: fmt.Sprintf("r%d", id)}
	for i, port := range ports {
		r.Nodes = append(r.Nodes, &tailcfg.DERPNode{Name: fmt.Sprintf("%d%c", id, 'a'+i), RegionID: id, HostName: hostName, IPv4: hostIP,
			IPv6: "none", DERPPort: port, STUNPort: port})
	}
	return r
}

// useRelays makes regions the whole DERP map of the server: its own relay is taken out. The first call restarts it.
func (s *server) useRelays(regions ...*tailcfg.DERPRegion) {
	s.t.Helper()
	s.useScoredRelays(nil, regions...)
}

// useScoredRelays: clients multiply a region's latency by its score.
func (s *server) useScoredRelays(score map[int]float64, regions ...*tailcfg.DERPRegion) {
	s.t.Helper()
	m := map[string]any{"900": nil}
	for _, r := range regions {
		m[fmt.Sprint(r.RegionID)] = r
	}
	b, err := json.Marshal(map[string]any{"Regions": m, "HomeParams": map[string]any{"RegionScore": score}})
	if err != nil {
		s.t.Fatal(err)
	}
	path, first := s.file("derp.json"), false
	if _, err := os.Stat(path); err != nil {
		first = true
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
	if !first {
		return
	}
	conf, err := os.OpenFile(s.file("config.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(conf, "\n[derp]\npaths = [%q]\n", path)
	conf.Close()
	s.kill(killed)
	s.start()
}

// counter of a relay of ours, from its status.
func (d *derpAlone) counter(name string) float64 {
	d.t.Helper()
	out, err := exec.Command(filepath.Join(binDir, "fairlead-derp"), "status", "--json", "--state", d.dir).Output()
	if err != nil {
		d.t.Fatalf("status: %v", err)
	}
	var o struct {
		Derp map[string]any `json:"derp"`
	}
	if err := json.Unmarshal(out, &o); err != nil {
		d.t.Fatal(err)
	}
	v, _ := o.Derp[name].(float64)
	return v
}

// transfer sends without pause over one TCP connection from n to the echo service of to, and checks what comes back.
type transfer struct {
	t     testing.TB
	conn  net.Conn
	bytes atomic.Int64
	stop  atomic.Bool
	done  chan error
}

func (n *node) transfer(to *node) *transfer {
	n.t.Helper()
	x := &transfer{t: n.t, done: make(chan error, 1)}
	eventually(n.t, 30*time.Second, "a connection through the relays", func() (err error) {
		x.conn, err = n.Dial(within(n.t, 8*time.Second), "tcp", net.JoinHostPort(to.ip4.String(), "7001"))
		return err
	})
	n.t.Cleanup(func() { x.conn.Close() })
	go func() {
		block, back := make([]byte, 16<<10), make([]byte, 16<<10)
		for !x.stop.Load() {
			rand.Read(block)
			x.conn.SetDeadline(time.Now().Add(40 * time.Second))
			if _, err := x.conn.Write(block); err != nil {
				x.done <- err
				return
			}
			if _, err := io.ReadFull(x.conn, back); err != nil {
				x.done <- err
				return
			}
			if string(back) != string(block) {
				x.done <- fmt.Errorf("other bytes came back after %d", x.bytes.Load())
				return
			}
			x.bytes.Add(int64(len(block)))
			time.Sleep(5 * time.Millisecond)
		}
		x.done <- nil
	}()
	return x
}

// goesOn wants a megabyte more over the same connection.
func (x *transfer) goesOn(what string) {
	x.t.Helper()
	from, start := x.bytes.Load(), time.Now()
	for x.bytes.Load() < from+(1<<20) {
		select {
		case err := <-x.done:
			x.t.Fatalf("%s: the transfer broke: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(start) > 45*time.Second {
			x.t.Fatalf("%s: only %d bytes in %v", what, x.bytes.Load()-from, time.Since(start))
		}
	}
	x.t.Logf("%s: another megabyte in %v", what, time.Since(start).Round(10*time.Millisecond))
}

func (x *transfer) end() {
	x.t.Helper()
	x.stop.Store(true)
	if err := <-x.done; err != nil {
		x.t.Fatal(err)
	}
}

func onlyDERP(t *testing.T) {
	envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "true")
	t.Cleanup(func() { envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "") })
}

func (n *node) atHome(region string) {
	n.t.Helper()
	eventually(n.t, 70*time.Second, n.Hostname+" is at home in "+region, func() error {
		if at := n.status().Self.Relay; at != region {
			return fmt.Errorf("it is at %q", at)
		}
		return nil
	})
}

// TestRelayJoins: one command on the relay's machine puts its region on the map of clients that run; another takes it off.
func TestRelayJoins(t *testing.T) {
	s := newServer(t, overTLS)
	port := freePort(t)
	d := newDerpAlone(t, port, "--region-id", "905", "--region-code", "far", "--region-name", "Far away")
	a := join(t, s, "alpha", s.addKey(s.addUser("alice"), keyOpts{reusable: true}))
	lc, err := a.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	run := func(verb, key string) (string, error) {
		c := exec.Command(filepath.Join(binDir, "fairlead-derp"), verb, s.url+"/", "--state", d.dir)
		c.Env = append(os.Environ(), "FAIRLEAD_CLI_API_KEY="+key)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	onMap := func(want bool) {
		t.Helper()
		took := eventually(t, 20*time.Second, fmt.Sprintf("region 905 is on the client's map: %v", want), func() error {
			m, err := lc.CurrentDERPMap(within(t, 5*time.Second))
			if err != nil {
				return err
			}
			r := m.Regions[905]
			if (r != nil) != want {
				return fmt.Errorf("it is: %v", r != nil)
			}
			if r != nil && (r.RegionCode != "far" || r.RegionName != "Far away" || len(r.Nodes) != 1 || r.Nodes[0].DERPPort != port ||
				r.Nodes[0].HostName != hostName || r.Nodes[0].STUNPort != port || r.Nodes[0].CertName != "") {
				return fmt.Errorf("it says %+v %+v", r, r.Nodes)
			}
			return nil
		})
		t.Logf("on the map: %v after %v", want, took.Round(time.Millisecond))
	}
	if out, err := run("join", "wrong"); err == nil || !strings.Contains(out, "401") {
		t.Errorf("with a wrong key: %v %s", err, out)
	}
	onMap(false)
	if out, err := run("join", s.apiKey); err != nil {
		t.Fatalf("join: %v: %s", err, out)
	}
	onMap(true)
	s.kill(killed) // it is kept
	s.start()
	s.cli("derp", "add", "906", "other.example.com:8443", "--name", "Other", "--stun-port", "0")
	onMap(true)
	if list := s.cli("derp", "list"); !strings.Contains(list, "Far away") || !strings.Contains(list, "other.example.com:8443") {
		t.Errorf("derp list: %s", list)
	}
	if out, err := run("leave", s.apiKey); err != nil {
		t.Fatalf("leave: %v: %s", err, out)
	}
	onMap(false)
	s.cli("derp", "remove", "906", "--force")
	if list := s.cli("derp", "list"); strings.Contains(list, "other.example.com") {
		t.Errorf("derp list: %s", list)
	}
}

// TestRelayRestarts: a relay ends and comes back in the middle of a TCP transfer, which goes on.
func TestRelayRestarts(t *testing.T) {
	onlyDERP(t)
	s := newServer(t, overTLS)
	port := freePort(t)
	d := newDerpAlone(t, port)
	s.useRelays(derpRegion(901, port))
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
	x := a.transfer(b)
	x.goesOn("over one relay")
	d.kill()
	time.Sleep(500 * time.Millisecond)
	d.start()
	x.goesOn("after its restart")
	x.end()
	if n := d.counter("packets_received"); n == 0 {
		t.Error("nothing went through the relay that came back")
	}
}

// TestRoamBetweenRelays: both nodes move from one region to another in the middle of a TCP transfer, as when a region is drained:
// first the new one is there, then the old one is made unattractive, then it goes.
func TestRoamBetweenRelays(t *testing.T) {
	onlyDERP(t)
	s := newServer(t, overTLS)
	p1, p2 := freePort(t), freePort(t)
	newDerpAlone(t, p1)
	second := newDerpAlone(t, p2)
	s.useRelays(derpRegion(901, p1))
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
	a.atHome("r901")
	x := a.transfer(b)
	x.goesOn("at the first relay")
	s.useScoredRelays(map[int]float64{901: 5000}, derpRegion(901, p1), derpRegion(902, p2))
	a.atHome("r902")
	x.goesOn("one at the second relay")
	b.atHome("r902")
	x.goesOn("both at the second relay")
	s.useRelays(derpRegion(902, p2))
	x.goesOn("after the first has gone")
	before := second.counter("packets_received")
	x.goesOn("and on")
	x.end()
	if second.counter("packets_received") <= before {
		t.Error("the transfer does not go through the second relay")
	}
	a.sees("beta", "at the second region", 10*time.Second, func(p *ipnstate.PeerStatus) bool { return p.Relay == "r902" })
}

// meshed has alpha at relay B and beta at relay A of one region: A, the region's first, is away when alpha comes. Then A ends once
// more in the middle of a transfer, beta moves to B, and A returns. crossed counts packets that went over the mesh.
func meshed(t *testing.T, s *server, portA, portB int, startA, endA func(), crossed func() float64) {
	t.Helper()
	s.useRelays(derpRegion(901, portA, portB))
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a := join(t, s, "alpha", k) // the region's first relay does not answer
	a.atHome("r901")
	startA()
	b := join(t, s, "beta", k)
	b.atHome("r901")
	x := a.transfer(b)
	before := crossed()
	x.goesOn("across the mesh")
	if crossed() <= before {
		t.Error("nothing crossed the mesh")
	}
	endA()
	x.goesOn("after one relay of the region ended")
	startA()
	x.goesOn("after it came back")
	x.end()
}

// TestMeshUnderTraffic: a region of two relays of ours.
func TestMeshUnderTraffic(t *testing.T) {
	onlyDERP(t)
	s := newServer(t, overTLS)
	file, _ := meshKeyFile(t)
	portA, portB := freePort(t), freePort(t)
	with := strings.Join([]string{fmt.Sprintf("%s:%d", hostName, portA), fmt.Sprintf("%s:%d", hostName, portB)}, ",")
	args := []string{"--mesh-key-file", file, "--mesh-with", with, "--mesh-ca", os.Getenv("SSL_CERT_FILE")}
	b := newDerpAlone(t, portB, args...)
	a := newDerpAlone(t, portA, args...)
	a.kill()
	meshed(t, s, portA, portB, a.start, a.kill, func() float64 { return b.counter("packets_forwarded_out") })
}
