//go:build interop_new

package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "tailscale.com/feature/appconnectors" // a feature that tsnet leaves out
	"tailscale.com/ipn"
)

// TestAppConnector: names of an app are asked of its connector, which announces routes to what it found; the policy approves them,
// and the connections go through it. Who may not use it hears of neither.
func TestAppConnector(t *testing.T) {
	s := newServer(t, plainHTTP)
	nameServer(t, "10.77.53.9", "198.51.100.7") // of the connector's own network: run.py names it in resolv.conf
	ann, bob := s.addUser("ann"), s.addUser("bob")
	s.setPolicy(`{"tagOwners": {"tag:connector": ["ann@"]},
		"acls": [{"action": "accept", "src": ["ann@"], "dst": ["autogroup:internet:*", "tag:connector:53"]},
			{"action": "accept", "src": ["bob@"], "dst": ["tag:connector:7000"]}],
		"autoApprovers": {"routes": {"0.0.0.0/0": ["tag:connector"], "::/0": ["tag:connector"]}},
		"nodeAttrs": [{"target": ["*"], "app": {"tailscale.com/app-connectors": [
			{"name": "app", "connectors": ["tag:connector"], "domains": ["*.app.test", "other.test"]}]}}]}`)
	c, other := joinRouted(t, s, "c", s.addKey(ann, keyOpts{})), joinRouted(t, s, "other", s.addKey(bob, keyOpts{}))
	r := join(t, s, "r", s.addKey(ann, keyOpts{tags: []string{"tag:connector"}})).routes()
	r.edit(ipn.MaskedPrefs{Prefs: ipn.Prefs{AppConnector: ipn.AppConnectorPrefs{Advertise: true}}, AppConnectorSet: true})

	eventually(t, 15*time.Second, "the name is asked of the connector", func() error {
		got, by, err := c.query("www.app.test", "A")
		if err == nil && (len(got) != 1 || got[0] != "198.51.100.7" || len(by) != 1 || !strings.HasPrefix(by[0], "http://"+r.ip4.String()+":")) {
			err = fmt.Errorf("%v by %v", got, by)
		}
		return err
	})
	c.sees("r", "with the route that it learned", 10*time.Second, carriesFor("198.51.100.7/32"))
	c.getsThrough("198.51.100.7", "r", 10*time.Second)
	m, err := other.netMap()
	if err != nil {
		t.Fatal(err)
	}
	for domain := range m.DNS.Routes {
		if strings.HasSuffix(domain, "app.test") {
			t.Errorf("bob is told to ask for %s", domain)
		}
	}
	if p := other.peer("r"); p == nil || carriesFor("198.51.100.7/32")(p) {
		t.Errorf("bob sees the connector as %+v", p)
	}
	// It is no connector any more.
	r.edit(ipn.MaskedPrefs{AppConnectorSet: true})
	eventually(t, 10*time.Second, "nothing is asked of it", func() error {
		m, err := c.netMap()
		if err == nil && m.DNS.Routes["app.test"] != nil {
			err = errors.New("it is")
		}
		return err
	})
}
