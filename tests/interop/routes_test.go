package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
)

// edit does what `tailscale set` does.
func (n *node) edit(p ipn.MaskedPrefs) {
	n.t.Helper()
	lc, err := n.LocalClient()
	if err == nil {
		_, err = lc.EditPrefs(within(n.t, 10*time.Second), &p)
	}
	if err != nil {
		n.t.Fatalf("%s: %v", n.Hostname, err)
	}
}

func (n *node) advertise(routes ...string) {
	n.t.Helper()
	p := ipn.MaskedPrefs{AdvertiseRoutesSet: true}
	for _, r := range routes {
		p.AdvertiseRoutes = append(p.AdvertiseRoutes, netip.MustParsePrefix(r))
	}
	n.edit(p)
}

func (n *node) acceptRoutes() {
	n.t.Helper()
	n.edit(ipn.MaskedPrefs{Prefs: ipn.Prefs{RouteAll: true}, RouteAllSet: true})
}

// joinRouted makes a client that uses the routes of others.
func joinRouted(t testing.TB, s *server, name, authKey string) *node {
	t.Helper()
	n := join(t, s, name, authKey)
	n.acceptRoutes()
	return n
}

// routes makes a client carry connections for networks behind it: whoever connects there is told by whom, and where to.
func (n *node) routes() *node {
	n.t.Helper()
	n.RegisterFallbackTCPHandler(func(_, dst netip.AddrPort) (func(net.Conn), bool) {
		if tsaddr.IsTailscaleIP(dst.Addr()) && !tsaddr.IsViaPrefix(netip.PrefixFrom(dst.Addr(), 128)) {
			return nil, false
		}
		return func(c net.Conn) {
			fmt.Fprintf(c, "%s %s", n.Hostname, dst)
			c.Close()
		}, true
	})
	return n
}

// through connects to an address behind another and returns by whom it got there. Where this client knows no route, the kernel refuses.
func (n *node) through(addr string) (by string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	c, err := n.Dial(ctx, "tcp", net.JoinHostPort(addr, "80"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	by, at, _ := strings.Cut(string(b), " ")
	if at != net.JoinHostPort(addr, "80") {
		return "", fmt.Errorf("got to %q", b)
	}
	return by, nil
}

func (n *node) getsThrough(addr, by string, d time.Duration) time.Duration {
	n.t.Helper()
	return eventually(n.t, d, n.Hostname+" gets to "+addr+" by "+by, func() error {
		got, err := n.through(addr)
		if err == nil && got != by {
			err = errors.New("by " + got)
		}
		return err
	})
}

func (n *node) isCutOff(addr string, d time.Duration) {
	n.t.Helper()
	eventually(n.t, d, n.Hostname+" is cut off from "+addr, func() error {
		if by, err := n.through(addr); err == nil {
			return errors.New("it gets there by " + by)
		}
		return nil
	})
}

type apiRoutes struct {
	ApprovedRoutes, AvailableRoutes, SubnetRoutes []string
}

func (s *server) routesOf(id string) (r apiRoutes) {
	s.t.Helper()
	var at struct{ Node apiRoutes }
	s.rest("GET", "/node/"+id, nil, &at)
	return at.Node
}

// announces waits until the server has just these routes of a node.
func (s *server) announces(name string, want ...string) (id string) {
	s.t.Helper()
	id = s.nodeNamed(name).ID
	eventually(s.t, 10*time.Second, name+" announces "+fmt.Sprint(want), func() error {
		if got := s.routesOf(id).AvailableRoutes; !slices.Equal(got, want) {
			return fmt.Errorf("it announces %v", got)
		}
		return nil
	})
	return id
}

func (s *server) approveRoutes(id string, routes ...string) {
	s.t.Helper()
	s.rest("POST", "/node/"+id+"/approve_routes", map[string][]string{"routes": append([]string{}, routes...)}, nil)
}

func carriesFor(route string) func(*ipnstate.PeerStatus) bool {
	return func(p *ipnstate.PeerStatus) bool {
		return p.PrimaryRoutes != nil && slices.Contains(p.PrimaryRoutes.AsSlice(), netip.MustParsePrefix(route))
	}
}

// TestRoutes: a subnet is reached while its route is announced and approved, by hand or by the policy; 4via6 is a route like others.
func TestRoutes(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	c, r := joinRouted(t, s, "c", k), join(t, s, "r", k).routes()
	r.advertise("10.77.1.0/24", "10.77.2.0/24")
	id := s.announces("r", "10.77.1.0/24", "10.77.2.0/24")
	if _, err := c.through("10.77.1.9"); err == nil {
		t.Error("reached before the route was approved")
	}
	s.approveRoutes(id, "10.77.1.0/24")
	t.Logf("approved and reached after %v", c.getsThrough("10.77.1.9", "r", 15*time.Second))
	c.isCutOff("10.77.2.9", time.Second)
	if got := s.routesOf(id).SubnetRoutes; !slices.Equal(got, []string{"10.77.1.0/24"}) {
		t.Errorf("it carries %v", got)
	}
	s.approveRoutes(id)
	c.isCutOff("10.77.1.9", 5*time.Second)
	// Whoever withdraws a route keeps the approval for when it comes back.
	s.approveRoutes(id, "10.77.1.0/24")
	c.getsThrough("10.77.1.9", "r", 5*time.Second)
	r.advertise()
	c.isCutOff("10.77.1.9", 5*time.Second)
	r.advertise("10.77.1.0/24")
	c.getsThrough("10.77.1.9", "r", 10*time.Second)

	// By the policy: what autoApprovers cover and nothing else, and only who may use it is shown it.
	other := joinRouted(t, s, "other", s.addKey(s.addUser("bob"), keyOpts{}))
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["ann@"], "dst": ["10.77.0.0/16:*", "*:7000"]}, {"action": "accept", "src": ["bob@"], "dst": ["ann@:7000"]}],
		"autoApprovers": {"routes": {"10.77.0.0/16": ["ann@"]}}}`)
	r.advertise("10.77.2.0/24", "10.78.0.0/24")
	s.announces("r", "10.77.2.0/24", "10.78.0.0/24")
	c.getsThrough("10.77.2.9", "r", 10*time.Second)
	c.sees("r", "with the route", 5*time.Second, carriesFor("10.77.2.0/24"))
	other.sees("r", "without it", 5*time.Second, func(p *ipnstate.PeerStatus) bool { return !carriesFor("10.77.2.0/24")(p) })
	if got := s.routesOf(id).ApprovedRoutes; slices.Contains(got, "10.78.0.0/24") {
		t.Errorf("approved %v", got)
	}
	s.setPolicy(`{}`)

	via, err := tsaddr.MapVia(7, netip.MustParsePrefix("10.77.3.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	r.advertise(via.String())
	s.approveRoutes(s.announces("r", via.String()), via.String())
	at, _ := tsaddr.MapVia(7, netip.MustParsePrefix("10.77.3.9/32"))
	eventually(t, 10*time.Second, "4via6", func() error {
		_, err := c.through(at.Addr().String())
		return err
	})
}

// TestRouters: of two routers one is elected; the other takes over when it leaves, expires or is deleted, and nothing moves back
// without need, nor when the server restarts.
func TestRouters(t *testing.T) {
	s := newServer(t, overTLS) // over plain HTTP clients do not come back after a restart for minutes
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	c, a, b := joinRouted(t, s, "c", k), join(t, s, "a", k).routes(), join(t, s, "b", k).routes()
	const route = "10.77.1.0/24"
	var ids []string
	for _, r := range []*node{a, b} {
		r.advertise(route)
		ids = append(ids, s.announces(r.Hostname, route))
		s.approveRoutes(ids[len(ids)-1], route)
	}
	elected := func(name string, d time.Duration) {
		t.Helper()
		took := c.sees(name, "as the router", d, carriesFor(route))
		c.getsThrough("10.77.1.9", name, 10*time.Second)
		t.Logf("%s carries the route after %v", name, took.Round(time.Millisecond))
	}
	elected("a", 5*time.Second)
	dir := a.Dir
	a.Close()
	elected("b", 5*time.Second)
	a = nodeIn(t, s, "a", "", dir)
	a.up()
	a.routes().advertise(route) // a tsnet program forgets what it announced
	c.sees("a", "online again", 10*time.Second, online)
	for range 10 {
		if p := c.peer("b"); p == nil || !carriesFor(route)(p) {
			t.Fatal("the route moved back")
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(1200 * time.Millisecond) // it is written within a second
	s.kill(killed)
	s.start()
	for _, n := range []string{"a", "b", "c"} {
		eventually(t, 20*time.Second, n+" is back after a restart", func() error {
			_, err := s.tryCLI("nodes", "ping", n)
			return err
		})
	}
	if got := s.routesOf(ids[1]).SubnetRoutes; !slices.Equal(got, []string{route}) {
		t.Errorf("the route moved at a restart: b carries %v", got)
	}
	c.getsThrough("10.77.1.9", "b", 10*time.Second)
	s.cli("nodes", "expire", "b")
	elected("a", 5*time.Second)
	s.rest("DELETE", "/node/"+ids[0], nil, nil)
	c.isCutOff("10.77.1.9", 5*time.Second)
}

// TestExitNode: approving one default route offers an exit node for both families, which then carries what is not the tailnet, and
// answers for DNS.
func TestExitNode(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	c, x := join(t, s, "c", k), join(t, s, "x", k).routes()
	x.advertise("0.0.0.0/0", "::/0")
	id := s.announces("x", "0.0.0.0/0", "::/0")
	if c.peer("x").ExitNodeOption {
		t.Error("offered before it was approved")
	}
	s.approveRoutes(id, "0.0.0.0/0")
	c.sees("x", "as an exit node", 5*time.Second, func(p *ipnstate.PeerStatus) bool { return p.ExitNodeOption })
	use := func(id tailcfg.StableNodeID) {
		t.Helper()
		c.edit(ipn.MaskedPrefs{Prefs: ipn.Prefs{ExitNodeID: id}, ExitNodeIDSet: true})
	}
	use(c.peer("x").ID)
	c.getsThrough("192.0.2.9", "x", 15*time.Second)
	// Names: the exit node is asked, and with use_with_exit_node our resolvers are.
	nameServer(t, "10.77.53.4", "198.51.100.4")
	nameServer(t, "10.77.53.9", "198.51.100.9") // of the exit node's own network: run.py names it in resolv.conf
	s.cli("dns", "set", "nameservers.global", "10.77.53.4")
	s.cli("dns", "set", "override_local_dns", "true")
	asks := func(what, says string, ok func(string) bool) {
		t.Helper()
		eventually(t, 10*time.Second, "names are asked of "+what, func() error {
			got, by, err := c.query("www.example.net", "A")
			if err == nil && (len(got) != 1 || got[0] != says || len(by) != 1 || !ok(by[0])) {
				err = fmt.Errorf("%v by %v", got, by)
			}
			return err
		})
	}
	asks("the exit node", "198.51.100.9", func(by string) bool { return strings.HasPrefix(by, "http://"+x.ip4.String()+":") })
	if tailcfg.CurrentCapabilityVersion >= 125 { // clients from 1.88
		s.cli("dns", "set", "use_with_exit_node", "true")
		asks("our resolver", "198.51.100.4", func(by string) bool { return by == "10.77.53.4" })
	}
	s.approveRoutes(id)
	c.sees("x", "no longer as an exit node", 5*time.Second, func(p *ipnstate.PeerStatus) bool { return !p.ExitNodeOption })
	use("")
}
