package interop

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// healthSays waits until the client's health list has the text.
func (n *node) healthSays(text string, d time.Duration) {
	n.t.Helper()
	eventually(n.t, d, n.Hostname+" says "+text, func() error {
		all := strings.Join(n.status().Health, "\n")
		if !strings.Contains(all, text) {
			return errors.New("its health is " + all)
		}
		return nil
	})
}

// A suspended user's devices lose their access at once, show why, and have it back when the user is restored, without a login.
func TestSuspendedUser(t *testing.T) {
	s := newServer(t, plainHTTP)
	ann, bob := s.addUser("ann"), s.addUser("bob")
	a := join(t, s, "a", s.addKey(ann, keyOpts{}))
	b := join(t, s, "b", s.addKey(bob, keyOpts{}))
	a.reaches(b)
	b.reaches(a)

	s.cli("users", "suspend", "ann")
	t.Logf("b forgot a after %v", b.forgets("a", 5*time.Second))
	a.inState("NeedsMachineAuth", 5*time.Second)
	a.healthSays("suspended", 10*time.Second)
	if n := len(a.status().Peer); n != 0 {
		t.Errorf("the suspended device still has %d peers", n)
	}
	refused := newNode(t, s, "a2", s.addKey(ann, keyOpts{}))
	if err := refused.Start(); err != nil {
		t.Fatal(err)
	}
	refused.healthSays("user ann is suspended", 20*time.Second)
	if out := s.cli("users", "list"); !strings.Contains(out, "suspended") {
		t.Errorf("the list of users does not show it:\n%s", out)
	}

	start := time.Now()
	s.cli("users", "restore", "ann")
	a.inState("Running", 10*time.Second)
	b.sees("a", "again", 10*time.Second, online)
	a.reaches(b)
	b.reaches(a)
	t.Logf("restored and reachable after %v", time.Since(start).Round(time.Millisecond))
}

// Clients of administrators know it.
func TestRoles(t *testing.T) {
	s := newServer(t, plainHTTP)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	has := func(name string) func() error {
		return func() error {
			for c := range a.status().Self.CapMap {
				if strings.HasSuffix(string(c), name) {
					return nil
				}
			}
			return errors.New("its capabilities lack " + name)
		}
	}
	if has("/is-admin")() == nil {
		t.Error("a member is an admin")
	}
	s.cli("users", "role", "ann", "owner")
	eventually(t, 10*time.Second, "a is the owner's", has("/is-owner"))
	eventually(t, 10*time.Second, "a is an admin's", has("/is-admin"))
}
