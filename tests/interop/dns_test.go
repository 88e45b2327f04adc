package interop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers at ip (run.py makes this machine take addresses of 10.77/16): says for every name.
func nameServer(t testing.TB, ip, says string) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip), Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFromUDP(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			if q.Type == dnsmessage.TypeA {
				answer.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body: &dnsmessage.AResource{A: netip.MustParseAddr(says).As4()}}}
			}
			if out, err := answer.Pack(); err == nil {
				c.WriteToUDP(out, from)
			}
		}
	}()
}

// query asks the client's own resolver for A records; resolvers are those that it would ask for names it does not know.
func (n *node) query(name, kind string) (addrs, resolvers []string, err error) {
	lc, err := n.LocalClient()
	if err != nil {
		return nil, nil, err
	}
	b, rs, err := lc.QueryDNS(within(n.t, 5*time.Second), name, kind)
	for _, r := range rs {
		resolvers = append(resolvers, r.Addr)
	}
	if err != nil {
		return nil, resolvers, err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return nil, resolvers, err
	}
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(r.A).String())
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(r.AAAA).String())
		}
	}
	return addrs, resolvers, nil
}

// resolves waits until a name has just these addresses; none: until it has none.
func (n *node) resolves(name string, d time.Duration, want ...string) time.Duration {
	n.t.Helper()
	kind := "A"
	if len(want) > 0 && netip.MustParseAddr(want[0]).Is6() {
		kind = "AAAA"
	}
	return eventually(n.t, d, fmt.Sprintf("%s resolves %s to %v", n.Hostname, name, want), func() error {
		got, _, err := n.query(name, kind)
		if err != nil && len(want) > 0 {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("to %v", got)
		}
		return nil
	})
}

// TestDNSLive: every setting changes in the running server, and what clients resolve, and whom they ask, follows.
func TestDNSLive(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	const soon = 5 * time.Second
	const corp, other, global = "198.51.100.1", "198.51.100.2", "198.51.100.3"
	nameServer(t, "10.77.53.1", corp)
	nameServer(t, "10.77.53.2", other)
	nameServer(t, "10.77.53.3", global)
	s.cli("dns", "set", "nameservers.global", "10.77.53.3")
	s.cli("dns", "set", "override_local_dns", "true")
	a.resolves("www.example.net", soon, global)
	a.resolves("b."+baseDomain, soon, b.ip4.String())

	s.cli("dns", "add", "nas."+baseDomain, "100.64.0.77")
	t.Logf("a record came after %v", a.resolves("nas."+baseDomain, soon, "100.64.0.77"))
	s.cli("dns", "add", "box.example", "fd00::77")
	a.resolves("box.example", soon, "fd00::77")
	s.cli("dns", "remove", "nas."+baseDomain, "100.64.0.77")
	a.resolves("nas."+baseDomain, soon)

	s.cli("dns", "set", "nameservers.split", "corp.example=10.77.53.1")
	a.resolves("git.corp.example", soon, corp)
	s.cli("dns", "set", "nameservers.split", "corp.example=10.77.53.2")
	a.resolves("git.corp.example", soon, other)
	a.resolves("git.corp.example", soon, other)
	s.cli("dns", "set", "search_domains", "corp.example")
	eventually(t, soon, "the search domain", func() error {
		m, err := a.netMap()
		if err == nil && !slices.Equal(m.DNS.Domains, []string{baseDomain, "corp.example"}) {
			err = fmt.Errorf("search domains %v", m.DNS.Domains)
		}
		return err
	})
	s.cli("dns", "reset", "nameservers.split")
	a.resolves("git.corp.example", soon, global)

	s.setPolicy(`{"extraDNSRecords": [{"Name": "printer.example", "Value": "192.0.2.7"}]}`)
	a.resolves("printer.example", soon, "192.0.2.7")
	s.setPolicy(`{}`)
	a.resolves("printer.example", soon, global)

	s.cli("dns", "set", "magic_dns", "false")
	eventually(t, soon, "MagicDNS is off", func() error {
		if st := a.status().CurrentTailnet; st == nil || st.MagicDNSEnabled {
			return errors.New("it is on")
		}
		return nil
	})
	s.cli("dns", "set", "magic_dns", "true")
	a.resolves("b."+baseDomain, soon, b.ip4.String())
	s.cli("dns", "set", "base_domain", "other.test")
	a.resolves("b.other.test", soon, b.ip4.String())

	s.cli("dns", "reset", "override_local_dns")
	eventually(t, soon, "the network's own servers are left alone", func() error {
		m, err := a.netMap()
		if err == nil && len(m.DNS.Resolvers) != 0 {
			err = fmt.Errorf("resolvers %v", m.DNS.Resolvers)
		}
		return err
	})
}
