package interop

import (
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

const tagPolicy = `{
	"tagOwners": {"tag:web": ["alice@"]},
	"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
}`

// TestJoinWithKeys: each kind of key lets a client in as what the key says, and as often as it says.
func TestJoinWithKeys(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		s.rest("PUT", "/policy", map[string]string{"policy": tagPolicy}, nil)
		alice := s.addUser("alice")
		reusable := s.addKey(alice, keyOpts{reusable: true})
		a := join(t, s, "alpha", reusable)
		b := join(t, s, "beta", reusable)
		once := join(t, s, "once", s.addKey(alice, keyOpts{}))
		web := join(t, s, "web", s.addKey(alice, keyOpts{tags: []string{"tag:web"}}))

		st := a.status()
		if want := "alpha." + baseDomain + "."; st.Self.DNSName != want {
			t.Errorf("own name %q, want %q", st.Self.DNSName, want)
		}
		if p := st.User[st.Self.UserID]; p.LoginName != "alice" && !strings.HasPrefix(p.LoginName, "alice@") {
			t.Errorf("owner %q, want alice", p.LoginName)
		}
		for _, label := range []string{"beta", "once", "web"} {
			a.sees(label, "online", 10*time.Second, online)
		}
		web.sees("alpha", "online", 10*time.Second, online)
		a.sees("web", "tagged", time.Second, func(p *ipnstate.PeerStatus) bool {
			return p.Tags != nil && p.Tags.Len() == 1 && p.Tags.At(0) == "tag:web"
		})
		a.reaches(b)
		b.reaches(once)
		once.reaches(web)

		seen := map[string]string{}
		for _, n := range []*node{a, b, once, web} {
			for _, ip := range []string{n.ip4.String(), n.ip6.String()} {
				if other, dup := seen[ip]; dup {
					t.Errorf("%s and %s both have %s", n.Hostname, other, ip)
				}
				seen[ip] = n.Hostname
			}
		}
	})
}

// TestEphemeral: a client with an ephemeral key is gone from its peers and from the server soon after it leaves.
func TestEphemeral(t *testing.T) {
	s := newServer(t, overTLS)
	alice := s.addUser("alice")
	a := join(t, s, "alpha", s.addKey(alice, keyOpts{reusable: true}))
	e := join(t, s, "fleeting", s.addKey(alice, keyOpts{ephemeral: true}))
	a.sees("fleeting", "online", 10*time.Second, online)
	lc, err := e.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	if err := lc.Logout(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Logf("forgotten after %v", a.forgets("fleeting", 10*time.Second))
	for _, n := range s.nodes() {
		if n.GivenName == "fleeting" {
			t.Errorf("the server still lists %+v", n)
		}
	}
}

// TestRefusedKeys: what cannot be let in gets HTTP 200 and a text that a person can act on.
func TestRefusedKeys(t *testing.T) {
	s := newServer(t, overTLS)
	alice := s.addUser("alice")
	used := s.addKey(alice, keyOpts{})
	first := newRaw(s, "first")
	defer first.close()
	if err := first.joinKey(within(t, 10*time.Second), used); err != nil {
		t.Fatal(err)
	}
	short := s.addKey(alice, keyOpts{life: time.Second})
	time.Sleep(1200 * time.Millisecond)

	for name, k := range map[string]string{"used": used, "expired": short, "unknown": "hskey-auth-000000000000-" + strings.Repeat("0", 64), "garbage": "x"} {
		t.Run(name, func(t *testing.T) {
			r := newRaw(s, "refused")
			defer r.close()
			a, err := r.register(within(t, 10*time.Second), r.registerRequest(k))
			if err != nil {
				t.Fatal(err)
			}
			if a.Error == "" || a.MachineAuthorized || a.AuthURL != "" {
				t.Fatalf("answer %+v, want only Error", a)
			}
			if strings.Contains(a.Error, k) && len(k) > 1 {
				t.Errorf("the error repeats the key: %q", a.Error)
			}
			t.Log(a.Error)
		})
	}

	// The official client shows that text.
	n := newNode(t, s, "refused", used)
	if _, err := n.Up(within(t, 20*time.Second)); err == nil || !strings.Contains(err.Error(), "backend") {
		t.Errorf("tsnet with a used key: %v, want the server's error", err)
	}
	if got := len(s.nodes()); got != 1 {
		t.Errorf("%d nodes, want 1", got)
	}
}

// TestRegisterAgain: the same node key may ask again (a lost answer), another machine may not use it (T40).
func TestRegisterAgain(t *testing.T) {
	s := newServer(t, overTLS)
	once := s.addKey(s.addUser("alice"), keyOpts{})
	ctx := within(t, 30*time.Second)
	r := newRaw(s, "again")
	defer r.close()
	for range 2 {
		if err := r.joinKey(ctx, once); err != nil {
			t.Fatal(err)
		}
	}
	thief := newRaw(s, "thief")
	defer thief.close()
	thief.node = r.node
	if a, err := thief.register(ctx, thief.registerRequest("")); err == nil && a.MachineAuthorized {
		t.Error("a stolen node key was let in by /machine/register")
	}
	if m, err := thief.fullMap(within(t, 5*time.Second)); err == nil && len(m.Node.Addresses) > 0 && m.Node.KeyExpiry.IsZero() {
		t.Errorf("a stolen node key got a map: %s", m.json)
	}
	if err := thief.update(ctx); err == nil {
		t.Error("a stolen node key could send an update")
	}
	if m, err := r.fullMap(ctx); err != nil || checkAddrsOf(m) != nil {
		t.Errorf("the owner's map after that: %v %v", err, checkAddrsOf(m))
	}
}

// TestTooOld: a client below the minimum capability version is told so in words.
func TestTooOld(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		r := newRaw(s, "old")
		defer r.close()
		r.version = 112
		a, err := r.register(within(t, 10*time.Second), r.registerRequest(k))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Error) < 20 || a.MachineAuthorized {
			t.Errorf("answer to version %d: %+v, want a readable Error", r.version, a)
		}
		t.Log(a.Error)

		r = newRaw(s, "justnew")
		defer r.close()
		r.version = 113
		if err := r.joinKey(within(t, 10*time.Second), k); err != nil {
			t.Errorf("version %d: %v", r.version, err)
		}
	})
}

// TestInteractiveLogin: a client without a key shows a page; once an admin approves, it comes up by itself. A pending
// login survives a restart of the server.
func TestInteractiveLogin(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		s.addUser("alice")
		n := newNode(t, s, "phone", "")
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		s.approve(n.authURL(), "alice")
		t.Logf("Running %v after the approval", n.inState("Running", 20*time.Second))
		n.ready(n.status())

		m := newNode(t, s, "tablet", "")
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		before := m.authURL()
		s.kill(killed)
		s.start()
		s.approve(before, "alice")
		t.Logf("Running %v after the restart and approval", m.inState("Running", 45*time.Second))
		m.ready(m.status())
		n.sees("tablet", "online", 40*time.Second, online)
		m.reaches(n)
	})
}

// TestMachineAuthorizedInMap: what makes a client Running stands in its own node (T5, T15, T25).
func TestMachineAuthorizedInMap(t *testing.T) {
	s := newServer(t, plainHTTP)
	r := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "raw", 1)[0]
	m, err := r.fullMap(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	n := m.Node
	if !n.MachineAuthorized || n.StableID == "" || n.User == 0 || n.ID == 0 || n.Key != r.node.Public() || n.Machine != r.machine.Public() {
		t.Errorf("own node %s", m.json)
	}
	if want := "raw000." + baseDomain + "."; n.Name != want {
		t.Errorf("Name %q, want %q", n.Name, want)
	}
	var profile *tailcfg.UserProfile
	for i := range m.UserProfiles {
		if m.UserProfiles[i].ID == n.User {
			profile = &m.UserProfiles[i]
		}
	}
	if profile == nil || profile.LoginName == "" {
		t.Errorf("no profile of user %d in %s", n.User, m.json)
	}
	if m.DERPMap == nil || m.DERPMap.Regions[900] == nil || len(m.DERPMap.Regions[900].Nodes) == 0 {
		t.Errorf("no relay in %s", m.json)
	}
	if m.PacketFilters == nil && m.PacketFilter == nil {
		t.Errorf("no packet filter in %s", m.json)
	}
	if m.SSHPolicy != nil {
		t.Errorf("an SSH policy that nobody wrote")
	}
}
