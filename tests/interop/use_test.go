package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
)

// TestNetcheck: the client's report about our region: UDP, IPv4, a latency, and no waiting for what we do not have.
func TestNetcheck(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		a := join(t, s, "alpha", s.addKey(s.addUser("alice"), keyOpts{}))
		lc, err := a.LocalClient()
		if err != nil {
			t.Fatal(err)
		}
		dm, err := lc.CurrentDERPMap(within(t, 5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		mon := netmon.NewStatic()
		c := &netcheck.Client{NetMon: mon, Logf: func(string, ...any) {}}
		ctx := within(t, 10*time.Second)
		if err := c.Standalone(ctx, ":0"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r, err := c.GetReport(ctx, dm, nil)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		if !r.UDP || !r.IPv4 || r.PreferredDERP != 900 || r.RegionLatency[900] <= 0 || r.GlobalV4.Addr().String() != hostIP {
			t.Errorf("report %+v", r)
		}
		if took > 2*time.Second {
			t.Errorf("the report took %v", took)
		}
		t.Logf("report in %v: %+v", took.Round(time.Millisecond), r.RegionLatency)
		var ports []int
		for _, n := range dm.Regions[900].Nodes {
			ports = append(ports, n.STUNPort)
		}
		if len(ports) != 2 || ports[0] == ports[1] {
			t.Errorf("STUN ports %v, want two", ports)
		}
	})
}

// TestTaildrop: a file goes from one device of a user to another of hers, and devices of others are no targets.
func TestTaildrop(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
	join(t, s, "other", s.addKey(s.addUser("bob"), keyOpts{}))
	la, err := a.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	lb, err := b.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	a.sees("other", "online", 5*time.Second, online)
	var target tailcfg.StableNodeID
	eventually(t, 10*time.Second, "alpha may send files to beta alone", func() error {
		ts, err := la.FileTargets(within(t, 5*time.Second))
		if err != nil {
			return err
		}
		if len(ts) != 1 || !strings.HasPrefix(ts[0].Node.Name, "beta.") {
			return fmt.Errorf("targets %+v", ts)
		}
		target = ts[0].Node.StableID
		return nil
	})
	data := make([]byte, 300_000)
	rand.Read(data)
	if err := la.PushFile(within(t, 20*time.Second), target, int64(len(data)), "photo.jpg", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "beta has the file", func() error {
		fs, err := lb.AwaitWaitingFiles(within(t, 5*time.Second), time.Second)
		if err != nil {
			return err
		}
		if len(fs) != 1 || fs[0].Name != "photo.jpg" {
			return fmt.Errorf("waiting: %+v", fs)
		}
		return nil
	})
	rc, _, err := lb.GetWaitingFile(within(t, 5*time.Second), "photo.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came of %d: %v", len(got), len(data), err)
	}
}

// TestFirstContact: the first TCP connection of a node that just came up, and to it, works well within the client's 5 s
// between handshakes: both sides know each other before anyone sends (T43).
func TestFirstContact(t *testing.T) {
	s := newServer(t, overTLS)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a := join(t, s, "alpha", k)
	for i := range 6 {
		n := newNode(t, s, fmt.Sprintf("new%d", i), k)
		n.up()
		from, to := n, a
		if i%2 == 1 {
			from, to = a, n
		}
		// tsnet asks the kernel for addresses that it does not know, which costs 3 s here.
		there := func(*ipnstate.PeerStatus) bool { return true }
		known := from.sees(to.Hostname, "there", 2*time.Second, there) + to.sees(from.Hostname, "there", 2*time.Second, there)
		// Both are told in one step, but each needs some milliseconds to take that in, and a handshake that comes in between
		// is tried again 5 s later.
		time.Sleep(100 * time.Millisecond)
		said, took, err := from.ask(net.JoinHostPort(to.ip4.String(), "7000"), 12*time.Second)
		if err != nil || said == "" {
			t.Fatalf("%s -> %s: %v", from.Hostname, to.Hostname, err)
		}
		if took > 2*time.Second {
			t.Errorf("%s -> %s took %v", from.Hostname, to.Hostname, took)
		}
		t.Logf("%s -> %s: known after %v, answered after another %v", from.Hostname, to.Hostname, known.Round(time.Millisecond),
			took.Round(time.Millisecond))
	}
}

// TestSecondNames: two machines that call themselves the same get names that differ, and keep them.
func TestSecondNames(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	a, b := join(t, s, "same", k), join(t, s, "same", k)
	na, nb := a.status().Self.DNSName, b.status().Self.DNSName
	if na == nb || !strings.HasPrefix(na, "same") || !strings.HasPrefix(nb, "same") {
		t.Errorf("names %q and %q", na, nb)
	}
	label, _, _ := strings.Cut(nb, ".")
	a.sees(label, "online", 5*time.Second, online)
	a.reaches(b, label)
}

// process reads what the kernel knows about the server.
func (s *server) process() (rssKiB, fds int, err error) {
	s.mu.Lock()
	pid := s.cmd.Process.Pid
	s.mu.Unlock()
	dir := filepath.Join("/proc", fmt.Sprint(pid))
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &rssKiB); err == nil {
			return rssKiB, len(open), nil
		}
	}
	return 0, 0, errors.New("no VmRSS")
}

// TestLeaks: after 200 nodes that came, looked, and were deleted, the server is as it was.
func TestLeaks(t *testing.T) {
	s := newServer(t, overTLS)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	stay := joinRaws(t, s, k, "stay", 1)[0]
	watch, err := stay.poll(within(t, 100*time.Second), true)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.close()
	go func() {
		for {
			if _, err := watch.next(); err != nil {
				return
			}
		}
	}()
	cycle := func(from, n int) {
		ctx := within(t, 80*time.Second)
		for i := from; i < from+n; i++ {
			r := newRaw(s, fmt.Sprintf("leak%d", i))
			if err := r.joinKey(ctx, k); err != nil {
				t.Fatal(err)
			}
			if err := r.update(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := r.fullMap(ctx); err != nil {
				t.Fatal(err)
			}
			s.rest("DELETE", "/node/"+s.nodeNamed(r.name).ID, nil, nil)
			r.close()
		}
	}
	settled := func(want int) (rss, fds int) {
		eventually(t, 10*time.Second, "the server closes what its clients closed", func() (err error) {
			rss, fds, err = s.process()
			if err == nil && want > 0 && fds > want {
				return fmt.Errorf("%d descriptors, had %d", fds, want)
			}
			return err
		})
		return rss, fds
	}
	cycle(0, 60)
	time.Sleep(500 * time.Millisecond)
	rss0, fds0 := settled(0)
	cycle(60, 200)
	rss1, fds1 := settled(fds0 + 2)
	t.Logf("resident %d -> %d KiB, descriptors %d -> %d", rss0, rss1, fds0, fds1)
	if rss1 > rss0+3*1024 {
		t.Errorf("grew from %d to %d KiB", rss0, rss1)
	}
}
