//go:build interop_new

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	_ "tailscale.com/feature/relayserver" // features that tsnet leaves out
	_ "tailscale.com/feature/tailnetlock"

	"tailscale.com/envknob"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/tka"
	"tailscale.com/tsnet"
	"tailscale.com/types/key"
)

// answers serves TCP on a loopback port of this machine, until the test ends.
func answers(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go say(l, text)
	return l.Addr().String()
}

func say(l net.Listener, text string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, text)
		c.Close()
	}
}

// TestServe: a port and a web site of a machine, shown to the tailnet.
func TestServe(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	lc, err := b.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	conf := &ipn.ServeConfig{}
	name := "b." + baseDomain
	conf.SetTCPForwarding(9000, answers(t, "inner"), false, 0, name)
	conf.SetWebHandler(&ipn.HTTPHandler{Text: "hello"}, name, 80, "/", false, baseDomain)
	if err := lc.SetServeConfig(within(t, 10*time.Second), conf); err != nil {
		t.Fatal(err)
	}
	if said, _, err := a.ask(net.JoinHostPort(b.ip4.String(), "9000"), 15*time.Second); err != nil || said != "inner" {
		t.Errorf("by TCP: %q, %v", said, err)
	}
	eventually(t, 15*time.Second, "the web site", func() error {
		r, err := a.HTTPClient().Get("http://" + name + "/")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if text, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK || string(text) != "hello" {
			return fmt.Errorf("%s %q %v", r.Status, text, err)
		}
		return nil
	})
}

// TestService: a VIP service of two hosts, which the policy approves. Who may reach it does, by name, and the other host takes over;
// who may not neither reaches it nor learns its name.
func TestService(t *testing.T) {
	s := newServer(t, plainHTTP)
	ann := s.addUser("ann")
	s.setPolicy(`{"tagOwners": {"tag:web": ["ann@"]}, "grants": [{"src": ["ann@"], "dst": ["svc:web"], "ip": ["tcp:80"]}],
		"autoApprovers": {"services": {"svc:web": ["tag:web"]}}}`)
	s.cli("services", "set", "svc:web", "--ports", "tcp:80")
	a, b := joinRouted(t, s, "a", s.addKey(ann, keyOpts{})), joinRouted(t, s, "b", s.addKey(s.addUser("bob"), keyOpts{}))
	k := s.addKey(ann, keyOpts{reusable: true, tags: []string{"tag:web"}})
	host := map[string]*tsnet.ServiceListener{}
	for _, name := range []string{"h1", "h2"} {
		l, err := join(t, s, name, k).ListenService("svc:web", tsnet.ServiceModeTCP{Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		host[name] = l
		go say(l, name)
	}
	var first string
	eventually(t, 20*time.Second, "ann reaches it by its name", func() (err error) {
		first, _, err = a.ask("web."+baseDomain+":80", 5*time.Second)
		return err
	})
	second := map[string]string{"h1": "h2", "h2": "h1"}[first]
	if second == "" {
		t.Fatalf("it said %q", first)
	}
	names := func(n *node) []string {
		m, err := n.netMap()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, r := range m.DNS.ExtraRecords {
			list = append(list, r.Name)
		}
		return list
	}
	if had := names(a); !slices.Contains(had, "web."+baseDomain) && !slices.Contains(had, "web."+baseDomain+".") {
		t.Errorf("the name is not among ann's %v", had)
	}
	if had := names(b); len(had) != 0 {
		t.Errorf("bob hears of %v", had)
	}
	if said, _, err := b.ask("web."+baseDomain+":80", 2*time.Second); err == nil {
		t.Errorf("bob reaches it: %q", said)
	}
	host[first].Close()
	took := eventually(t, 20*time.Second, "the other host takes over", func() error {
		said, _, err := a.ask("web."+baseDomain+":80", 3*time.Second)
		if err == nil && said != second {
			err = fmt.Errorf("%q answers", said)
		}
		return err
	})
	t.Logf("the other host answered after %v", took.Round(time.Millisecond))
	s.cli("services", "delete", "svc:web", "--force")
	eventually(t, 10*time.Second, "its name is gone", func() error {
		if had := names(a); len(had) != 0 {
			return fmt.Errorf("%v", had)
		}
		return nil
	})
}

// TestTailnetLock: started by an admin, not by a member; a newcomer is locked out until it is signed; a key is added; it outlives a
// restart; only the right secret ends it.
func TestTailnetLock(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	status := func(n *node) *ipnstate.TailnetLockStatus {
		t.Helper()
		lc, err := n.LocalClient()
		if err != nil {
			t.Fatal(err)
		}
		st, err := lc.TailnetLockStatus(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	trusted := func(p key.NLPublic) tka.Key { return tka.Key{Kind: tka.Key25519, Public: p.KeyID(), Votes: 1} }
	secret := bytes.Repeat([]byte{7}, 32)
	init := func() error {
		lc, _ := a.LocalClient()
		_, err := lc.TailnetLockInit(within(t, 20*time.Second), []tka.Key{trusted(status(a).PublicKey), trusted(status(b).PublicKey)},
			[][]byte{tka.DisablementKDF(secret)}, nil)
		return err
	}
	if err := init(); err == nil {
		t.Fatal("a member starts it")
	}
	s.cli("users", "role", "ann", "admin")
	if err := init(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "b knows that it is on", func() error {
		if st := status(b); !st.Enabled || !st.NodeKeySigned {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	a.reaches(b)

	c := join(t, s, "c", k)
	eventually(t, 15*time.Second, "the newcomer knows that it is locked out", func() error {
		if st := status(c); !st.Enabled || st.NodeKeySigned {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	if a.peer("c") != nil {
		t.Error("it is known before it is signed")
	}
	lb, _ := b.LocalClient()
	if err := lb.TailnetLockSign(within(t, 10*time.Second), *status(c).NodeKey, []byte(status(c).PublicKey.Verifier())); err != nil {
		t.Fatal(err)
	}
	a.sees("c", "once it is signed", 10*time.Second, online)
	c.reaches(a)
	if err := lb.TailnetLockModify(within(t, 10*time.Second), []tka.Key{trusted(status(c).PublicKey)}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "all know the new key", func() error {
		for _, n := range []*node{a, b, c} {
			if got := len(status(n).TrustedKeys); got != 3 {
				return fmt.Errorf("%s knows %d", n.Hostname, got)
			}
		}
		return nil
	})
	s.kill(killed)
	s.start()
	d := join(t, s, "d", k)
	eventually(t, 15*time.Second, "it is still on after a restart", func() error {
		if st := status(d); !st.Enabled || st.NodeKeySigned {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	la, _ := a.LocalClient()
	if err := la.TailnetLockDisable(within(t, 10*time.Second), bytes.Repeat([]byte{8}, 32)); err == nil {
		t.Error("another secret ends it")
	}
	if err := la.TailnetLockDisable(within(t, 10*time.Second), secret); err != nil {
		t.Fatal(err)
	}
	a.sees("d", "once it is off", 15*time.Second, online)
	d.reaches(a)
}

// TestPeerRelay: two devices that cannot reach each other directly meet at a relay of their tailnet, where the policy lets them use it.
func TestPeerRelay(t *testing.T) {
	envknob.Setenv("TS_DEBUG_NEVER_DIRECT_UDP", "true")
	defer envknob.Setenv("TS_DEBUG_NEVER_DIRECT_UDP", "")
	s := newServer(t, plainHTTP)
	ann := s.addUser("ann")
	s.setPolicy(`{"tagOwners": {"tag:relay": ["ann@"]}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]},
		{"src": ["ann@"], "dst": ["tag:relay"], "app": {"tailscale.com/cap/relay": []}}]}`)
	k := s.addKey(ann, keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	r := join(t, s, "r", s.addKey(ann, keyOpts{tags: []string{"tag:relay"}}))
	port := uint16(freePort(t))
	r.edit(ipn.MaskedPrefs{Prefs: ipn.Prefs{RelayServerPort: &port, RelayServerStaticEndpoints: []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr(hostIP), port)}}, RelayServerPortSet: true, RelayServerStaticEndpointsSet: true})
	took := eventually(t, 30*time.Second, "the relay is used", func() error {
		p, err := a.ping(b.ip4, tailcfg.PingDisco, 5*time.Second)
		if err == nil && p.PeerRelay == "" {
			err = errors.New("by " + p.Endpoint + p.DERPRegionCode)
		}
		return err
	})
	t.Logf("after %v", took.Round(time.Millisecond))
	a.reaches(b)
}
