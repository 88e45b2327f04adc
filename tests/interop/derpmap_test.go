package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// regions are those of the DERP map that this client uses now, sorted; with their codes.
func (n *node) regions() (ids []int, codes []string) {
	n.t.Helper()
	lc, err := n.LocalClient()
	if err != nil {
		n.t.Fatal(err)
	}
	m, err := lc.CurrentDERPMap(within(n.t, 5*time.Second))
	if err != nil {
		n.t.Fatal(err)
	}
	for id := range m.Regions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		codes = append(codes, m.Regions[id].RegionCode)
	}
	return ids, codes
}

func (n *node) hasRegions(what string, want ...string) {
	n.t.Helper()
	took := eventually(n.t, 10*time.Second, what, func() error {
		if ids, codes := n.regions(); !slices.Equal(codes, want) {
			return fmt.Errorf("regions %v %v, want %v", ids, codes, want)
		}
		return nil
	})
	n.t.Logf("%s: after %v", what, took.Round(time.Millisecond))
}

// streamAge is how long the map stream of a node has been open, as the server says, in ms.
func (s *server) streamAge(name string) int {
	s.t.Helper()
	var d struct{ Stream struct{ AgeMs int } }
	if err := json.Unmarshal([]byte(s.cli("nodes", "debug", name, "--output", "json")), &d); err != nil {
		s.t.Fatal(err)
	}
	return d.Stream.AgeMs
}

// TestDERPMapLive: each way in which the DERP map changes reaches a running client, on the stream that it has: the policy's derpMap, a
// region that joins, and a file. What goes over it still does.
func TestDERPMapLive(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a, b := join(t, s, "a", k), join(t, s, "b", k)
	a.hasRegions("the server's own relay", "lab")
	start, age := time.Now(), s.streamAge("a")

	const region = `{"RegionID": %d, "RegionCode": "%s", "RegionName": "%[2]s", "Nodes": [{"Name": "%[1]da", "RegionID": %[1]d, "HostName": "derp.invalid", "STUNPort": -1}]}`
	s.setPolicy(`{"derpMap": {"Regions": {"901": ` + fmt.Sprintf(region, 901, "pol") + `}}}`)
	a.hasRegions("a region of the policy", "lab", "pol")
	s.cli("derp", "add", "902", "derp.invalid", "--name", "Joined", "--code", "joined")
	a.hasRegions("a region that joined", "lab", "pol", "joined")
	s.setPolicy(`{"derpMap": {"Regions": {"901": null, "902": null}}}`)
	a.hasRegions("the policy takes regions out", "lab")
	s.setPolicy(`{}`)
	a.hasRegions("the policy has none", "lab", "joined")
	s.cli("derp", "remove", "902", "--force")
	a.hasRegions("the region left", "lab")

	// A file, which is named while the server runs, and changes.
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(s.file("derp.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"Regions": {"903": ` + fmt.Sprintf(region, 903, "one") + `}}`)
	conf, err := os.ReadFile(s.file("config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file("config.toml"), append(conf, fmt.Appendf(nil, "\n[derp]\npaths = [%q]\n", s.file("derp.json"))...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	a.hasRegions("a region of a file", "lab", "one")
	put(`{"Regions": {"903": ` + fmt.Sprintf(region, 903, "two") + `}}`)
	a.hasRegions("the file changed", "lab", "two")
	put(`{"Regions": {}}`)
	a.hasRegions("the file has none", "lab")
	a.reaches(b)
	if now := s.streamAge("a"); now-age < int(time.Since(start).Milliseconds())-500 {
		t.Errorf("the stream is %d ms old, was %d, %v ago: the client had to ask anew", now, age, time.Since(start))
	}
}
