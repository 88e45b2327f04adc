package interop

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
)

func wantString(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s is %q, want %q", what, got, want)
	}
	return nil
}

// sameAddrs wants a client to have come back with the addresses that it had.
func (n *node) sameAddrs() {
	n.t.Helper()
	eventually(n.t, 10*time.Second, n.Hostname+" has its old addresses", func() error {
		st := n.status()
		if len(st.TailscaleIPs) != 2 || st.TailscaleIPs[0] != n.ip4 || st.TailscaleIPs[1] != n.ip6 {
			return fmt.Errorf("addresses %v, had %v %v", st.TailscaleIPs, n.ip4, n.ip6)
		}
		return nil
	})
}

// TestLogout: a logged-out client is offline for its peers, and gets its addresses back when it logs in again.
func TestLogout(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
		a.sees("beta", "online", 10*time.Second, online)
		lc, err := b.LocalClient()
		if err != nil {
			t.Fatal(err)
		}
		if err := lc.Logout(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		b.inState("NeedsLogin", 10*time.Second)
		eventually(t, 10*time.Second, "alpha sees that beta left", func() error {
			if p := a.peer("beta"); p != nil && p.Online && !p.Expired {
				return fmt.Errorf("%+v", p)
			}
			return nil
		})
		b.login(s, "alice")
		b.sameAddrs()
		a.sees("beta", "online", 10*time.Second, online)
		a.reaches(b)
		b.reaches(a)
		if got := len(s.nodes()); got != 2 {
			t.Errorf("%d nodes, want 2", got)
		}
	})
}

// TestExpiry: a client whose key an admin expires asks for a login, is marked expired for its peers, and comes back
// with a new key and its old addresses.
func TestExpiry(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), joinByLogin(t, s, "beta", "alice") // with a key it would come back by itself
		a.sees("beta", "online", 10*time.Second, online)
		old := b.status().Self.PublicKey
		s.rest("POST", "/node/"+s.nodeNamed("beta").ID+"/expire", map[string]any{}, nil)
		t.Logf("expired client asks for a login after %v", b.inState("NeedsLogin", 10*time.Second))
		a.sees("beta", "expired", 10*time.Second, func(p *ipnstate.PeerStatus) bool { return p.Expired })

		b.login(s, "alice")
		b.sameAddrs()
		if now := b.status().Self.PublicKey; now == old {
			t.Errorf("the node key is the expired one")
		}
		a.sees("beta", "no longer expired", 10*time.Second, func(p *ipnstate.PeerStatus) bool {
			return p.Online && !p.Expired && p.PublicKey != old
		})
		a.reaches(b)
	})
}

// TestDeletedWhileAway: a client that was deleted while it was off is told to log in when it returns (T42b), and then
// is a new node.
func TestDeletedWhileAway(t *testing.T) {
	s := newServer(t, overTLS)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
	dir := b.Dir
	b.Close()
	a.sees("beta", "offline", 5*time.Second, offline)
	s.rest("DELETE", "/node/"+s.nodeNamed("beta").ID, nil, nil)
	a.forgets("beta", 5*time.Second)

	b = nodeIn(t, s, "beta", "", dir)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	// A client that starts from its cached map may stay Running meanwhile: what tells its user is the page.
	t.Logf("told to log in after %v", eventually(t, 15*time.Second, "beta is told to log in", func() error {
		if st := b.status(); st.BackendState != "NeedsLogin" && st.AuthURL == "" {
			return errors.New("is " + st.BackendState)
		}
		return nil
	}))
	b.login(s, "alice")
	b.ready(b.status())
	a.sees("beta", "online", 10*time.Second, online)
	b.reaches(a)
}

// TestForceReauth: `tailscale up --force-reauth` gives a running client a new node key; its addresses, its name and its
// place in the list of nodes stay, with a page and with a key.
func TestForceReauth(t *testing.T) {
	s := newServer(t, overTLS)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), joinByLogin(t, s, "beta", "alice")
	for _, by := range []string{"page", "key"} {
		old := b.status().Self.PublicKey
		if by == "page" {
			b.login(s, "alice")
		} else {
			b.loginByKey(k)
		}
		eventually(t, 20*time.Second, "beta has a new key", func() error {
			if st := b.status(); st.Self.PublicKey == old || st.BackendState != "Running" {
				return fmt.Errorf("%s, %s", st.Self.PublicKey.ShortString(), st.BackendState)
			}
			return nil
		})
		b.sameAddrs()
		a.sees("beta", "with its new key", 10*time.Second, func(p *ipnstate.PeerStatus) bool {
			return p.Online && p.PublicKey == b.status().Self.PublicKey
		})
		a.reaches(b)
		b.reaches(a)
		if got := len(s.nodes()); got != 2 {
			t.Errorf("%d nodes after a login by %s, want 2", got, by)
		}
	}
}

// TestDeletedOnline: a client that is deleted while it is connected is told to log in at once (T42), and comes back as a
// new node.
func TestDeletedOnline(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), joinByLogin(t, s, "beta", "alice")
		a.sees("beta", "online", 5*time.Second, online)
		was := s.nodeNamed("beta").ID
		s.rest("DELETE", "/node/"+was, nil, nil)
		t.Logf("told to log in after %v", b.inState("NeedsLogin", 5*time.Second).Round(time.Millisecond))
		a.forgets("beta", 5*time.Second)
		b.login(s, "alice")
		b.noteAddrs(b.status())
		if now := s.nodeNamed("beta").ID; now == was {
			t.Errorf("node %s is there again", now)
		}
		a.reaches(b)
		b.reaches(a)
	})
}
