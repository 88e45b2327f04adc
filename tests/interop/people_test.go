package interop

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
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

// A new device waits until it is approved, says so, and then works without a login.
func TestDeviceApproval(t *testing.T) {
	s := newServer(t, plainHTTP)
	ann := s.addUser("ann")
	a := join(t, s, "a", s.addKey(ann, keyOpts{}))
	s.cli("settings", "set", "devices_approval", "true")
	a.inState("Running", 5*time.Second) // who was in stays in
	b := newNode(t, s, "b", s.addKey(ann, keyOpts{}))
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	b.inState("NeedsMachineAuth", 20*time.Second)
	b.healthSays("approval", 10*time.Second)
	if a.peer("b") != nil || len(b.status().Peer) != 0 {
		t.Error("a device that waits knows others, or is known")
	}
	if out := s.cli("nodes", "list"); !strings.Contains(out, "APPROVED") {
		t.Errorf("the list lacks it:\n%s", out)
	}
	start := time.Now()
	s.cli("nodes", "approve", "b")
	b.inState("Running", 10*time.Second)
	b.ready(b.status())
	b.reaches(a)
	a.reaches(b)
	t.Logf("approved and reachable after %v", time.Since(start).Round(time.Millisecond))
	s.cli("nodes", "approve", "b", "--revoke")
	a.forgets("b", 5*time.Second)

	key := strings.TrimSpace(s.cli("preauthkeys", "create", "--user", "ann", "--preauthorized"))
	c := join(t, s, "c", key)
	c.reaches(a)
}

// An administrator gives a running device another address.
func TestSetIP(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	s.cli("nodes", "set-ip", "a", "100.77.1.2")
	eventually(t, 10*time.Second, "a has its new address", func() error {
		return wantString("address", a.status().TailscaleIPs[0].String(), "100.77.1.2")
	})
	b.sees("a", "at its new address", 10*time.Second, func(p *ipnstate.PeerStatus) bool { return p.TailscaleIPs[0].String() == "100.77.1.2" })
	a.noteAddrs(a.status())
	b.reaches(a)
	a.reaches(b)
	if out, err := s.tryCLI("nodes", "set-ip", "b", "100.77.1.2"); err == nil || !strings.Contains(err.Error(), "is the address of node") {
		t.Errorf("an address given twice: %s, %v", out, err)
	}
}

// A policy's posture asks for an attribute that administrators set, for a while.
func TestPostureAttributes(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	s.rest("PUT", "/policy", map[string]string{"policy": `{"postures": {"posture:gold": ["custom:tier == 'gold'"]},
		"acls": [{"action": "accept", "src": ["*"], "srcPosture": ["posture:gold"], "dst": ["*:*"]}]}`}, nil)
	a.forgets("b", 5*time.Second)
	s.cli("nodes", "set-attr", "a", "custom:tier=gold", "--expires", "4s")
	a.sees("b", "with the attribute", 3*time.Second, online)
	a.reaches(b)
	a.forgets("b", 10*time.Second) // it ended
	s.cli("nodes", "set-attr", "a", "custom:tier=gold")
	a.sees("b", "with the attribute", 5*time.Second, online)
	s.cli("nodes", "unset-attr", "a", "custom:tier")
	a.forgets("b", 5*time.Second)
}

// A policy's ipPool decides where a new device gets its address.
func TestIPPool(t *testing.T) {
	s := newServer(t, plainHTTP)
	ann, bob := s.addUser("ann"), s.addUser("bob")
	s.rest("PUT", "/policy", map[string]string{"policy": `{"nodeAttrs": [{"target": ["ann@"], "ipPool": ["100.81.0.0/24"]}]}`}, nil)
	a, b := join(t, s, "a", s.addKey(ann, keyOpts{})), join(t, s, "b", s.addKey(bob, keyOpts{}))
	if !netip.MustParsePrefix("100.81.0.0/24").Contains(a.ip4) || netip.MustParsePrefix("100.81.0.0/24").Contains(b.ip4) {
		t.Errorf("ann's device has %v, bob's %v", a.ip4, b.ip4)
	}
	a.reaches(b)
	b.reaches(a)
}

// A name that was given up is not another user's by itself.
func TestHeldName(t *testing.T) {
	s := newServer(t, plainHTTP)
	ann, bob := s.addUser("ann"), s.addUser("bob")
	a := join(t, s, "web", s.addKey(ann, keyOpts{}))
	s.cli("nodes", "delete", "web", "--force")
	a.inState("NeedsLogin", 10*time.Second)
	join(t, s, "web", s.addKey(bob, keyOpts{}))
	if got := s.nodes(); len(got) != 1 || got[0].GivenName != "web-1" {
		t.Errorf("nodes %+v", got)
	}
}
