package interop

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestFeatureQuery: what `tailscale serve` and `funnel` ask, in words that the client shows.
func TestFeatureQuery(t *testing.T) {
	s := newServer(t, plainHTTP)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	lc, err := a.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	for feature, says := range map[string]string{"serve": "no HTTPS certificates", "funnel": "not available"} {
		r, err := lc.QueryFeature(within(t, 10*time.Second), feature)
		if err != nil || r.Complete || !strings.Contains(r.Text, says) {
			t.Errorf("%s: %+v, %v", feature, r, err)
		}
	}
}

// TestReports: what clients report of themselves and ask for, by the official Noise handshake and HTTP/2: health (clients up to 1.88),
// audit records, attributes of their own, a login to their web interface.
func TestReports(t *testing.T) {
	s := newServer(t, plainHTTP)
	r := newRaw(s, "a")
	defer r.close()
	ctx := within(t, 30*time.Second)
	if err := r.joinKey(ctx, s.addKey(s.addUser("ann"), keyOpts{})); err != nil {
		t.Fatal(err)
	}
	says := func(method, path string, body map[string]any, status int, text string) {
		t.Helper()
		body["Version"], body["NodeKey"] = r.version, r.node.Public()
		resp, err := r.send(ctx, method, path, body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(b), text) {
			t.Errorf("%s: %s: %s", path, resp.Status, b)
		}
	}
	says("POST", "/machine/update-health", map[string]any{"Subsys": "dns", "Error": "no DNS"}, 204, "")
	says("POST", "/machine/audit-log", map[string]any{"Action": "DISCONNECT_NODE", "Details": "lunch"}, 200, "")
	if out := s.cli("audit", "list"); !strings.Contains(out, "DISCONNECT_NODE") {
		t.Errorf("the record is not in the log:\n%s", out)
	}
	tier := map[string]any{"Update": map[string]any{"custom:tier": "gold"}}
	says("PATCH", "/machine/set-device-attr", tier, 403, "")
	s.cli("settings", "set", "node.own_attributes", "custom:tier")
	says("PATCH", "/machine/set-device-attr", tier, 200, "")
	if out := s.cli("nodes", "attrs", "a"); !strings.Contains(out, "gold") {
		t.Errorf("the attribute is not there:\n%s", out)
	}
	says("POST", "/machine/webclient/init/1/to/2", map[string]any{}, 501, "web interface")
}
