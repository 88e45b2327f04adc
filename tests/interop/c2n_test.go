package interop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The server asks a client over its stream, and the client answers.
func TestC2N(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
		var answer struct{ Status, TookMs int }
		if err := json.Unmarshal([]byte(s.cli("nodes", "ping", "a", "--output", "json")), &answer); err != nil || answer.Status != 200 {
			t.Errorf("ping: %+v, %v", answer, err)
		}
		t.Logf("answered in %d ms", answer.TookMs)
		var prefs struct{ ControlURL string }
		out := s.cli("nodes", "ask", "a", "/debug/prefs")
		if err := json.Unmarshal([]byte(out), &prefs); err != nil || prefs.ControlURL != s.url {
			t.Errorf("its prefs: %v: %s", err, out)
		}
		if out := s.cli("nodes", "ask", "a", "/debug/metrics"); !strings.Contains(out, "magicsock") {
			t.Errorf("its metrics: %.300s", out)
		}
		// New tsnet programs lack this part, and their 400 is an answer, too; old ones have it, turned off.
		if out, err := s.tryCLI("nodes", "ask", "a", "/posture/identity"); err == nil && !strings.Contains(out, "PostureDisabled") {
			t.Errorf("identity of a tsnet program: %s", out)
		}
		if out, err := s.tryCLI("nodes", "ask", "a", "/localapi/v0/logout"); err == nil {
			t.Errorf("a client was asked what it is not asked here: %s", out)
		}
		a.Close()
		eventually(t, 10*time.Second, "a does not answer", func() error {
			if _, err := s.tryCLI("nodes", "ping", "a"); err != nil {
				return nil
			}
			return wantString("ping", "answered", "failed")
		})
	})
}
