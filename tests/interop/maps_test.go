package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"tailscale.com/tailcfg"
)

// frames counts the zstd frames of a payload, skippable ones included.
func frames(payload []byte) (n int, err error) {
	for len(payload) > 0 {
		var h zstd.Header
		if err := h.Decode(payload); err != nil {
			return n, err
		}
		n++
		if h.Skippable {
			payload = payload[8+int(h.SkippableSize):]
			continue
		}
		// The frame's length is known only by walking its blocks: 3-byte headers, last | type<<1 | size<<3.
		at := h.HeaderSize
		for {
			if len(payload) < at+3 {
				return n, errors.New("cut block header")
			}
			bh := int(payload[at]) | int(payload[at+1])<<8 | int(payload[at+2])<<16
			at += 3
			if bh>>1&3 == 1 {
				at++
			} else {
				at += bh >> 3
			}
			if bh&1 == 1 {
				break
			}
		}
		if h.HasCheckSum {
			at += 4
		}
		if len(payload) < at {
			return n, errors.New("cut frame")
		}
		payload = payload[at:]
	}
	return n, nil
}

// TestManyPeers: a map with more peers than one cached block holds, made of several zstd frames, decodes in klauspost's
// decoder to one JSON object that has each peer once.
func TestManyPeers(t *testing.T) {
	const n = 200
	s := newServer(t, plainHTTP)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", n)
	for _, viewer := range []*raw{rs[0], rs[n/2], rs[n-1]} {
		m, err := viewer.fullMap(within(t, 15*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[tailcfg.NodeID]bool{m.Node.ID: true}
		for _, p := range m.Peers {
			if seen[p.ID] {
				t.Errorf("%s sees %d twice", viewer.name, p.ID)
			}
			seen[p.ID] = true
			if len(p.Addresses) != 2 || p.Key.IsZero() || p.DiscoKey.IsZero() || p.HomeDERP != rawHome && p.LegacyDERPString == "" {
				t.Errorf("%s sees a peer that it cannot reach: %+v", viewer.name, p)
			}
		}
		if len(seen) != n {
			t.Errorf("%s sees %d nodes, want %d", viewer.name, len(seen), n)
		}
		count, err := frames(m.payload)
		if err != nil {
			t.Errorf("frames: %v", err)
		}
		t.Logf("%s: %d peers, %d bytes in %d frames, %d of JSON", viewer.name, len(m.Peers), len(m.payload), count, len(m.json))
	}

	// The thin client's and a browser's way: not compressed.
	st, err := rs[0].poll(within(t, 15*time.Second), false)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	m, err := st.next()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Peers) != n-1 {
		t.Errorf("uncompressed: %d peers, want %d", len(m.Peers), n-1)
	}
}

// TestKeepaliveLength: clients from v1.101 take a message of exactly the keepalive's compressed length for a keepalive
// (T41). So after a keepalive, however small or differently sized the changes are, none has that length; and keepalives
// are the same bytes each time.
func TestKeepaliveLength(t *testing.T) {
	if !pinnedDERP() {
		t.Skip("an old client compares no lengths; the test is about bytes, and runs with the new module")
	}
	t.Parallel() // waits for keepalives most of the time
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	rs := joinRaws(t, s, k, "n", 30)
	viewer := rs[0]
	st, err := viewer.poll(within(t, 170*time.Second), true)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()

	var keepalive []byte
	lengths := map[int]string{}
	msgs := make(chan *message, 1000)
	ended := make(chan error, 1)
	go func() {
		for {
			m, err := st.next()
			if err != nil {
				ended <- err
				return
			}
			msgs <- m
		}
	}()
	note := func(m *message) {
		if !m.KeepAlive {
			lengths[len(m.payload)] = string(m.json[:min(len(m.json), 200)])
			return
		}
		if !bytes.Equal(m.json, []byte(`{"KeepAlive":true}`)) {
			t.Errorf("a keepalive that carries more: %s", m.json)
		}
		if keepalive != nil && !bytes.Equal(keepalive, m.payload) {
			t.Errorf("two keepalives differ: %x, %x", keepalive, m.payload)
		}
		keepalive = m.payload
	}
	// collect reads until nothing came for quiet, or until a keepalive if asked to.
	collect := func(quiet time.Duration, untilKeepalive bool) (n int) {
		for {
			select {
			case m := <-msgs:
				note(m)
				n++
				if untilKeepalive && m.KeepAlive {
					return n
				}
			case err := <-ended:
				t.Fatalf("the stream ended: %v", err)
			case <-time.After(quiet):
				if untilKeepalive {
					t.Fatalf("no keepalive within %v", quiet)
				}
				return n
			}
		}
	}
	collect(time.Second, false)
	start := time.Now()
	collect(75*time.Second, true)
	t.Logf("keepalive of %d bytes after %v", len(keepalive), time.Since(start).Round(time.Second))

	// Names of every length, presence, removal: many small messages of many sizes.
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	changes := 0
	for i := 1; i <= 40; i++ {
		name := fmt.Sprintf("%0*d", i, 1)
		s.rest("POST", "/node/"+s.nodeNamed(rs[1].name).ID+"/rename/x"+name, nil, nil)
		s.rest("POST", "/node/"+s.nodeNamed("x"+name).ID+"/rename/"+rs[1].name, nil, nil)
		changes += collect(150*time.Millisecond, false)
	}
	for _, r := range rs[2:12] {
		p, err := r.poll(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		changes += collect(100*time.Millisecond, false)
		p.close()
		r.close()
	}
	changes += collect(6*time.Second, false) // the offline grace
	for _, r := range rs[12:] {
		s.rest("DELETE", "/node/"+s.nodeNamed(r.name).ID, nil, nil)
		changes += collect(100*time.Millisecond, false)
	}
	if changes < 60 {
		t.Errorf("only %d messages for 108 changes", changes)
	}
	if m, ok := lengths[len(keepalive)]; ok {
		t.Errorf("a message has the keepalive's length, %d bytes: %s", len(keepalive), m)
	}
	t.Logf("%d messages of %d different lengths; one byte shorter than the keepalive: %v, one longer: %v", changes,
		len(lengths), lengths[len(keepalive)-1] != "", lengths[len(keepalive)+1] != "")
}

// TestConcatenatedFrames: what our padding relies on holds in this version's decoder: a payload of frames, stored,
// compressed and skippable, in any order, is one message; so a message of the keepalive's length can be made longer.
func TestConcatenatedFrames(t *testing.T) {
	keepalive := stored([]byte(`{"KeepAlive":true}`))
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	skip := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	for _, delta := range []int{-1, 0, 1} {
		for split := range 12 {
			text := fmt.Sprintf(`{"Domain":"%0*d"}`, len(keepalive)-9-len(`{"Domain":""}`)+delta, 7)
			a, b := text[:min(split, len(text))], text[min(split, len(text)):]
			whole := stored([]byte(text))
			if len(whole) != len(keepalive)+delta {
				t.Fatalf("a payload of %d bytes, want %d", len(whole), len(keepalive)+delta)
			}
			for name, payload := range map[string][]byte{
				"whole": whole, "two frames": append(stored([]byte(a)), stored([]byte(b))...),
				"padded": append(bytes.Clone(whole), skip...), "skip first": append(bytes.Clone(skip), whole...),
				"skip between": append(append(stored([]byte(a)), skip...), stored([]byte(b))...),
			} {
				got, err := dec.DecodeAll(payload, nil)
				if err != nil || string(got) != text {
					t.Errorf("%s, %+d, split %d: %q, %v; want %q", name, delta, split, got, err, text)
				}
			}
		}
	}
}

// stored makes a zstd frame of one raw block.
func stored(b []byte) []byte {
	h := len(b)<<3 | 1
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(b)), byte(h), byte(h >> 8), byte(h >> 16)}, b...)
}
