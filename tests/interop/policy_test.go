package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/netmap"
)

func (s *server) setPolicy(text string) {
	s.t.Helper()
	s.rest("PUT", "/policy", map[string]string{"policy": text}, nil)
}

// denied wants that no connection comes about within a moment in which an allowed one would.
func (n *node) denied(to *node, port string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	c, err := n.Dial(ctx, "tcp", net.JoinHostPort(to.ip4.String(), port))
	if err == nil {
		c.Close()
		n.t.Fatalf("%s reaches %s:%s, and must not", n.Hostname, to.Hostname, port)
	}
}

// allowed wants a connection soon.
func (n *node) allowed(to *node, port string) time.Duration {
	n.t.Helper()
	return eventually(n.t, 15*time.Second, fmt.Sprintf("%s reaches %s:%s", n.Hostname, to.Hostname, port), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		c, err := n.Dial(ctx, "tcp", net.JoinHostPort(to.ip4.String(), port))
		if err == nil {
			c.Close()
		}
		return err
	})
}

// netMap is the network map that the client has now.
func (n *node) netMap() (*netmap.NetworkMap, error) {
	lc, err := n.LocalClient()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	w, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialNetMap)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for {
		m, err := w.Next()
		if err != nil || m.NetMap != nil {
			return m.NetMap, err
		}
	}
}

// TestPolicyEdit: an edit moves what two clients may do, at both of them, and for connections in one direction only.
func TestPolicyEdit(t *testing.T) {
	s := newServer(t, plainHTTP)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	b := join(t, s, "b", s.addKey(s.addUser("bob"), keyOpts{}))
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["ann@"], "dst": ["bob@:7000"]}]}`)
	a.allowed(b, "7000")
	a.denied(b, "7001")
	b.sees("a", "as one that may reach it", 5*time.Second, online)
	b.denied(a, "7000")

	s.setPolicy(`{"groups": {"group:b": ["bob@"]}, "acls": [{"action": "accept", "src": ["group:b"], "dst": ["ann@:7001"]}]}`)
	t.Logf("the edit took %v", b.allowed(a, "7001"))
	b.denied(a, "7000")
	a.denied(b, "7000")

	s.setPolicy(`{"acls": []}`)
	a.forgets("b", 5*time.Second)
	b.forgets("a", 5*time.Second)
	s.cli("policy", "rollback", "1")
	a.sees("b", "again", 5*time.Second, online)
	a.allowed(b, "7000")
}

// TestPolicySelf: autogroup:self, and nobody ever hears of somebody else's node.
func TestPolicySelf(t *testing.T) {
	s := newServer(t, plainHTTP)
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}]}`)
	ann, bob := s.addUser("ann"), s.addUser("bob")
	b := join(t, s, "b1", s.addKey(bob, keyOpts{}))
	var mu sync.Mutex
	heard := map[string]bool{}
	done := make(chan bool)
	go func() { // looks all the time
		for {
			for _, p := range b.status().Peer {
				label, _, _ := strings.Cut(p.DNSName, ".")
				mu.Lock()
				heard[label] = true
				mu.Unlock()
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	defer close(done)
	k := s.addKey(ann, keyOpts{reusable: true})
	a1, a2 := join(t, s, "a1", k), join(t, s, "a2", k)
	a1.sees("a2", "of its own user", 10*time.Second, online)
	a1.reaches(a2)
	a2.reaches(a1)
	b2 := join(t, s, "b2", s.addKey(bob, keyOpts{}))
	b.sees("b2", "of its own user", 10*time.Second, online)
	b.reaches(b2)
	a1.denied(b, "7000")
	mu.Lock()
	defer mu.Unlock()
	if len(heard) != 1 || !heard["b2"] {
		t.Errorf("b1 heard of %v", heard)
	}
}

// TestPolicyTags: groups reach tags, tags reach what they are let to, and a node's tag changes what it may.
func TestPolicyTags(t *testing.T) {
	s := newServer(t, plainHTTP)
	s.setPolicy(`{"groups": {"group:ops": ["ann@"]}, "tagOwners": {"tag:web": ["group:ops"], "tag:db": ["group:ops"]},
		"acls": [{"action": "accept", "src": ["group:ops"], "dst": ["tag:web:7000"]},
			{"action": "accept", "src": ["tag:web"], "dst": ["tag:db:7001"]}]}`)
	ann := s.addUser("ann")
	a := join(t, s, "a", s.addKey(ann, keyOpts{}))
	web := join(t, s, "web", s.addKey(ann, keyOpts{tags: []string{"tag:web"}}))
	db := join(t, s, "db", s.addKey(ann, keyOpts{tags: []string{"tag:db"}}))
	a.allowed(web, "7000")
	web.allowed(db, "7001")
	a.denied(web, "7001")
	a.forgets("db", 5*time.Second)
	s.cli("nodes", "tag", "db", "--tags", "tag:web")
	a.sees("db", "with another tag", 5*time.Second, online)
	a.allowed(db, "7000")
	web.denied(db, "7001")
}

// TestPolicyCapabilities: what a grant gives an application is in WhoIs at the destination, and goes with the grant.
func TestPolicyCapabilities(t *testing.T) {
	s := newServer(t, plainHTTP)
	const head = `{"tagOwners": {"tag:web": ["ann@"]}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}`
	s.setPolicy(head + `, {"src": ["ann@"], "dst": ["tag:web"], "app": {"example.com/cap/backup": [{"may": ["read", "write"]}]}}]}`)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	b := join(t, s, "b", s.addKey(s.addUser("bob"), keyOpts{}))
	web := join(t, s, "web", s.addKey(s.addUser("eve"), keyOpts{tags: []string{"tag:web"}}))
	caps := func(of *node) ([]string, error) {
		w, err := web.whoIs(of.ip4)
		if err != nil {
			return nil, err
		}
		var out []string
		for _, v := range w.CapMap["example.com/cap/backup"] {
			out = append(out, string(v))
		}
		return out, nil
	}
	eventually(t, 10*time.Second, "the capability is there", func() error {
		got, err := caps(a)
		if err != nil || len(got) != 1 {
			return fmt.Errorf("%v, %v", got, err)
		}
		var v struct{ May []string }
		if err := json.Unmarshal([]byte(got[0]), &v); err != nil || len(v.May) != 2 || v.May[1] != "write" {
			return fmt.Errorf("%s, %v", got[0], err)
		}
		return nil
	})
	eventually(t, 10*time.Second, "and not for others", func() error {
		got, err := caps(b)
		if err == nil && len(got) > 0 {
			t.Fatalf("bob has %v", got)
		}
		return err
	})
	s.setPolicy(head + `]}`)
	eventually(t, 5*time.Second, "the capability is gone", func() error {
		got, err := caps(a)
		if err == nil && len(got) > 0 {
			err = fmt.Errorf("still %v", got)
		}
		return err
	})
}

// TestPolicyNodeAttrs: attributes are in the client's own capabilities, with their values, and go again.
func TestPolicyNodeAttrs(t *testing.T) {
	s := newServer(t, plainHTTP)
	s.setPolicy(`{"nodeAttrs": [{"target": ["ann@"], "attr": ["example-attribute", "randomize-client-port"]},
		{"target": ["*"], "app": {"example.com/settings": [{"level": 3}]}}]}`)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	b := join(t, s, "b", s.addKey(s.addUser("bob"), keyOpts{}))
	has := func(n *node, c tailcfg.NodeCapability) bool { _, ok := n.status().Self.CapMap[c]; return ok }
	eventually(t, 10*time.Second, "ann's attributes", func() error {
		v := a.status().Self.CapMap["example.com/settings"]
		if !has(a, "example-attribute") || !has(a, "randomize-client-port") || len(v) != 1 || !strings.Contains(string(v[0]), "level") {
			return fmt.Errorf("%v", a.status().Self.CapMap)
		}
		return nil
	})
	if has(b, "example-attribute") || !has(b, "example.com/settings") {
		t.Errorf("bob has %v", b.status().Self.CapMap)
	}
	s.setPolicy(`{}`)
	eventually(t, 5*time.Second, "the attributes are gone", func() error {
		if has(a, "example-attribute") || has(a, "example.com/settings") {
			return errors.New("still there")
		}
		return nil
	})
}

// TestPolicySSHRules: the destination is told who may come as whom, the others nothing.
func TestPolicySSHRules(t *testing.T) {
	s := newServer(t, plainHTTP)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	const owners = `{"tagOwners": {"tag:web": ["ann@"]}`
	s.setPolicy(owners + `}`)
	web := join(t, s, "web", s.addKey(s.addUser("bob"), keyOpts{tags: []string{"tag:web"}}))
	var rules []*tailcfg.SSHRule
	count := func(n *node, want int) func() error {
		return func() error {
			m, err := n.netMap()
			if err != nil {
				return err
			}
			rules = nil
			if m.SSHPolicy != nil {
				rules = m.SSHPolicy.Rules
			}
			if len(rules) != want {
				return fmt.Errorf("%d rules, want %d", len(rules), want)
			}
			return nil
		}
	}
	s.setPolicy(owners + `, "ssh": [{"action": "accept", "src": ["ann@"], "dst": ["tag:web"], "users": ["root", "autogroup:nonroot"]}]}`)
	eventually(t, 5*time.Second, "the destination has the rule", count(web, 1))
	r := rules[0]
	from := map[string]bool{}
	for _, p := range r.Principals {
		from[p.NodeIP] = true
	}
	if !r.Action.Accept || r.SSHUsers["root"] != "root" || r.SSHUsers["*"] != "=" || !from[a.ip4.String()] || !from[a.ip6.String()] || len(from) != 2 {
		t.Errorf("the rule: %+v %+v", r, r.Action)
	}
	eventually(t, time.Second, "the source has none", count(a, 0))
	// Sessions that must be recorded: the destination is told where, and what to do when that fails.
	rec := join(t, s, "rec", s.addKey(s.addUser("rita"), keyOpts{tags: []string{"tag:web"}}))
	s.setPolicy(`{"tagOwners": {"tag:web": ["ann@"], "tag:rec": ["ann@"]},
		"ssh": [{"action": "accept", "src": ["ann@"], "dst": ["tag:web"], "users": ["root"], "recorder": ["tag:rec"], "enforceRecorder": true}]}`)
	s.cli("nodes", "tag", "rec", "-t", "tag:rec")
	eventually(t, 5*time.Second, "the destination knows the recorder", func() error {
		if err := count(web, 1)(); err != nil {
			return err
		}
		want := []netip.AddrPort{netip.AddrPortFrom(rec.ip4, 80), netip.AddrPortFrom(rec.ip6, 80)}
		if act := rules[0].Action; !slices.Equal(act.Recorders, want) || act.OnRecordingFailure == nil ||
			act.OnRecordingFailure.RejectSessionWithMessage == "" || act.OnRecordingFailure.TerminateSessionWithMessage == "" {
			return fmt.Errorf("%+v", act)
		}
		return nil
	})
	s.setPolicy(owners + `}`)
	eventually(t, 5*time.Second, "the rule is gone", count(web, 0))
}
