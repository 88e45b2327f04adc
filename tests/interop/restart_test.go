package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const killed = syscall.SIGKILL

func checkAddrsOf(m *message) error {
	if m == nil || m.Node == nil {
		return fmt.Errorf("no map")
	}
	var ips []netip.Addr
	for _, p := range m.Node.Addresses {
		ips = append(ips, p.Addr())
	}
	return checkAddrs(ips)
}

// TestKilledWhileRegistering: the server is killed in the middle of registrations, again and again. Nobody who was told
// to be registered is lost, addresses that were told stay, and no address is given twice.
func TestKilledWhileRegistering(t *testing.T) {
	const rounds, each = 6, 40
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})

	var mu sync.Mutex
	var acked []*raw
	told := map[*raw]string{} // addresses that a map told before a crash
	for round := range rounds {
		var done atomic.Int32
		enough := 1 + rand.Int32N(each-5)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var wg sync.WaitGroup
		for i := range each {
			r := newRaw(s, fmt.Sprintf("r%dn%d", round, i))
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer r.close()
				if r.joinKey(ctx, k) != nil {
					return // killed before it answered: nothing was promised
				}
				done.Add(1)
				mu.Lock()
				acked = append(acked, r)
				mu.Unlock()
				if m, err := r.fullMap(ctx); err == nil {
					mu.Lock()
					told[r] = fmt.Sprint(m.Node.Addresses)
					mu.Unlock()
				}
			}()
		}
		for done.Load() < enough && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		s.kill(killed)
		cancel()
		wg.Wait()
		s.start()
	}

	if len(acked) < rounds {
		t.Fatalf("only %d registrations were acknowledged", len(acked))
	}
	ctx := within(t, 60*time.Second)
	owner := map[netip.Prefix]string{}
	for _, r := range acked {
		m, err := r.fullMap(ctx)
		r.close()
		if err != nil {
			t.Errorf("%s was told to be registered and is lost: %v", r.name, err)
			continue
		}
		if err := checkAddrsOf(m); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
		if was, ok := told[r]; ok && was != fmt.Sprint(m.Node.Addresses) {
			t.Errorf("%s was told %s and now has %v", r.name, was, m.Node.Addresses)
		}
		for _, p := range m.Node.Addresses {
			if other, dup := owner[p]; dup {
				t.Errorf("%v belongs to %s and %s", p, other, r.name)
			}
			owner[p] = r.name
		}
	}
	t.Logf("%d of %d registrations acknowledged in %d crashes, %d addresses told before a crash", len(acked), rounds*each, rounds, len(told))
}

// TestServerAway: traffic flows on while the server is down, and clients return to it by themselves.
func TestServerAway(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
		a.pingsVia(b, false, 20*time.Second)
		say := a.echo(b)
		if err := say("before"); err != nil {
			t.Fatal(err)
		}
		s.kill(killed)
		for i := range 10 {
			if err := say(fmt.Sprintf("while the server is down %d", i)); err != nil {
				t.Fatalf("the open connection, server down: %v", err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		a.reaches(b) // new connections too
		b.reaches(a)

		s.start()
		start := time.Now()
		if err := say("after"); err != nil {
			t.Fatalf("the open connection, server back: %v", err)
		}
		c := join(t, s, "late", k)
		a.sees("late", "online", 40*time.Second, online)
		b.sees("late", "online", 40*time.Second, online)
		t.Logf("both clients are back %v after the server", time.Since(start).Round(time.Millisecond))
		c.sees("alpha", "online", 10*time.Second, online)
		c.reaches(a)
		a.sees("beta", "online", time.Second, online)
		for _, n := range []*node{a, b} {
			n.sameAddrs()
		}
	})
}

// TestCleanStop: SIGTERM ends the server quickly though clients hold streams, and a restart makes nobody flap.
func TestCleanStop(t *testing.T) {
	s := newServer(t, overTLS)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
	a.sees("beta", "online", 10*time.Second, online)
	b.sees("alpha", "online", 10*time.Second, online)
	start := time.Now()
	s.kill(syscall.SIGTERM)
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("a clean stop took %v", took)
	}
	s.start()
	end := time.Now().Add(12 * time.Second)
	for time.Now().Before(end) {
		if p := a.peer("beta"); p == nil || !p.Online {
			t.Fatalf("beta flapped after the restart: %+v", p)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
