package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTooMuch: a device that announces more than a device may, or what none may, works on, and shows why it is not used.
func TestTooMuch(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	s.setPolicy(`{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}], "autoApprovers": {"routes": {"0.0.0.0/0": ["ann@"]}}}`)
	a, b := join(t, s, "a", k), joinRouted(t, s, "b", k)
	a.advertise("0.0.0.0/1", "128.0.0.0/1", "100.64.7.0/24", "10.77.1.0/24")
	a.healthSays("0.0.0.0/1: a default route in disguise", 15*time.Second)
	a.healthSays("100.64.7.0/24: overlaps the addresses of the devices themselves", 5*time.Second)
	b.sees("a", "with the route that it may have", 10*time.Second, carriesFor("10.77.1.0/24"))
	if p := b.peer("a"); carriesFor("0.0.0.0/1")(p) || carriesFor("100.64.7.0/24")(p) {
		t.Errorf("a carries %v", p.AllowedIPs)
	}
	many := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255))
		}
		return list
	}
	for _, n := range []int{10000, 70000} { // 150 KB and 1 MB
		a.advertise(many(n)...)
		a.healthSays(fmt.Sprintf("A device may announce 512 routes: %d were left out", n-512), 30*time.Second)
		a.reaches(b)
		b.reaches(a)
	}
	a.advertise()
	eventually(t, 15*time.Second, "nothing is wrong any more", func() error {
		for _, h := range a.status().Health {
			if strings.Contains(h, "routes") {
				return errors.New(h)
			}
		}
		return nil
	})
}
