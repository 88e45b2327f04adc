package interop

import (
	"strings"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

// TestDirect: two clients ping and talk TCP both ways over a direct path, by address and by MagicDNS name.
func TestDirect(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
		a.pingsVia(b, false, 20*time.Second)
		b.pingsVia(a, false, 20*time.Second)
		for _, kind := range []tailcfg.PingType{tailcfg.PingTSMP, tailcfg.PingICMP} {
			if _, err := a.ping(b.ip4, kind, 10*time.Second); err != nil {
				t.Errorf("%s ping: %v", kind, err)
			}
		}
		a.reaches(b, b.ip4.String(), b.ip6.String(), "beta", "beta."+baseDomain)
		b.reaches(a, a.ip4.String(), a.ip6.String(), "alpha", "alpha."+baseDomain)

		who, err := a.whoIs(b.ip4)
		if err != nil {
			t.Fatalf("whois: %v", err)
		}
		if who.Node.ComputedName != "beta" || who.UserProfile.LoginName == "" {
			t.Errorf("whois %v: node %q, user %q", b.ip4, who.Node.ComputedName, who.UserProfile.LoginName)
		}
	})
}

// TestRelayed: the same with UDP out of the picture: everything goes through our relay.
func TestRelayed(t *testing.T) {
	envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "true")
	defer envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "")
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
		a.reaches(b, b.ip4.String(), "beta")
		b.reaches(a, a.ip4.String(), "alpha")
		a.pingsVia(b, true, 20*time.Second)
		a.sees("beta", "through region lab", 5*time.Second, func(p *ipnstate.PeerStatus) bool { return p.Relay == "lab" && p.CurAddr == "" })
	})
}

// TestLiveChanges: what happens to a client reaches its peers while they watch.
func TestLiveChanges(t *testing.T) {
	s := newServer(t, overTLS)
	alice, bob := s.addUser("alice"), s.addUser("bob")
	a := join(t, s, "alpha", s.addKey(alice, keyOpts{reusable: true}))
	b := join(t, s, "beta", s.addKey(bob, keyOpts{reusable: true}))
	t.Logf("new peer seen after %v", a.sees("beta", "online", 5*time.Second, online))
	// Status of v1.103.0-pre shows only users of its last full map, so this asks whois.
	if who, err := a.whoIs(b.ip4); err != nil || who.UserProfile.LoginName != "bob" && !strings.HasPrefix(who.UserProfile.LoginName, "bob@") {
		t.Errorf("whois beta: %+v, %v; want bob", who, err)
	}

	id := s.nodeNamed("beta").ID
	s.rest("POST", "/node/"+id+"/rename/gamma", nil, nil)
	t.Logf("renamed peer seen after %v", a.sees("gamma", "renamed", 5*time.Second, online))
	a.forgets("beta", time.Second)
	eventually(t, 5*time.Second, "the renamed client knows its name", func() error {
		return wantString("own name", b.status().Self.DNSName, "gamma."+baseDomain+".")
	})
	a.reaches(b, "gamma")

	// The name stays when the client goes and comes back, and its addresses too.
	dir, ips := b.Dir, []string{b.ip4.String(), b.ip6.String()}
	b.Close()
	t.Logf("offline seen after %v", a.sees("gamma", "offline", 5*time.Second, offline))
	b = nodeIn(t, s, "beta", "", dir)
	b.up()
	t.Logf("online seen after %v", a.sees("gamma", "online", 5*time.Second, online))
	if b.ip4.String() != ips[0] || b.ip6.String() != ips[1] {
		t.Errorf("came back with %v %v, had %v", b.ip4, b.ip6, ips)
	}
	a.reaches(b)

	s.rest("DELETE", "/node/"+id, nil, nil)
	t.Logf("deletion seen after %v", a.forgets("gamma", 5*time.Second))
	t.Logf("deleted client asks for a login after %v", b.inState("NeedsLogin", 10*time.Second))
}
