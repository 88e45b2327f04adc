package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tailscale.com/tsnet"
)

// browserTests is tests/browser: the identity provider and the scripts for Chromium live there.
func browserTests(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("INTEROP_BROWSER")
	if dir == "" {
		t.Fatal("INTEROP_BROWSER does not name tests/browser")
	}
	return dir
}

// signInBy starts npm's oidc-provider for s and makes s ask it.
func signInBy(t *testing.T, s *server) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command("node", "idp.mjs", fmt.Sprint(port), s.url+"/oidc/callback", "plain", hostIP)
	cmd.Dir = browserTests(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line := make([]byte, 100)
	if n, err := out.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "listening") {
		t.Fatalf("the identity provider says %q, %v", line[:n], err)
	}
	go io.Copy(io.Discard, out)
	s.kill(killed)
	f, err := os.OpenFile(s.file("config.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\n[oidc]\nissuer = \"http://%s:%d\"\nclient_id = \"fairlead\"\nclient_secret = \"a secret/with+signs\"\n", hostIP, port)
	f.Close()
	s.start()
}

// helperIsLockedIn: the process that reads what providers send runs under a seccomp filter, without new privileges, soon
// after it was started.
func helperIsLockedIn(t *testing.T, s *server) {
	t.Helper()
	seen := "no fairlead-oidc of this server runs"
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		names, _ := filepath.Glob("/proc/[0-9]*/status")
		for _, name := range names {
			b, _ := os.ReadFile(name)
			status := string(b)
			if !strings.HasPrefix(status, "Name:\tfairlead-oidc\n") || !strings.Contains(status, fmt.Sprintf("PPid:\t%d\n", s.cmd.Process.Pid)) {
				continue
			}
			if strings.Contains(status, "Seccomp:\t2\n") && strings.Contains(status, "NoNewPrivs:\t1\n") {
				return
			}
			seen = status
		}
	}
	t.Errorf("fairlead-oidc is not locked in: %s", seen)
}

// loginURL starts a node without a key and waits for what it wants a person to open.
func loginURL(t *testing.T, n *tsnet.Server) string {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	lc, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	if err := lc.StartLoginInteractive(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if st, err := lc.StatusWithoutPeers(context.Background()); err == nil && st.AuthURL != "" {
			return st.AuthURL
		}
	}
	t.Fatal("no login URL")
	return ""
}

func becomesRunning(t *testing.T, n *tsnet.Server) string {
	t.Helper()
	lc, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// 1.80 tells of users only beside peers, and only once it has a map.
		if st, err := lc.Status(context.Background()); err == nil && st.BackendState == "Running" {
			if who := st.User[st.Self.UserID].LoginName; who != "" {
				return who
			}
		}
	}
	t.Fatal("it does not run after the login")
	return ""
}

// connectByHTTP signs in and lets the waiting device in, by a browser that knows redirects, cookies and forms only.
func connectByHTTP(t *testing.T, loginURL string) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := c.Get(loginURL)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(r.Body)
	r.Body.Close()
	form := regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)".*?name="csrf" value="([^"]*)"`).FindSubmatch(page)
	if r.StatusCode != 200 || form == nil {
		t.Fatalf("%s: %s", r.Status, page)
	}
	to, _ := r.Request.URL.Parse(html.UnescapeString(string(form[1])))
	r, err = c.PostForm(to.String(), url.Values{"csrf": {string(form[2])}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
}

// TestLoginByHTTP: the official client joins as whoever signs in.
func TestLoginByHTTP(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		signInBy(t, s)
		n := newNode(t, s, "laptop", "")
		connectByHTTP(t, loginURL(t, n.Server))
		if who := becomesRunning(t, n.Server); who != "alice@example.com" {
			t.Errorf("it belongs to %q", who)
		}
	})
}

// TestUserApproval: the device of who signs in for the first time waits until its user is approved, says so, and then works without a login.
func TestUserApproval(t *testing.T) {
	s := newServer(t, plainHTTP)
	signInBy(t, s)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	s.cli("settings", "set", "users_approval", "true")
	n := newNode(t, s, "laptop", "")
	connectByHTTP(t, loginURL(t, n.Server))
	n.inState("NeedsMachineAuth", 20*time.Second)
	n.healthSays("account waits for an administrator's approval", 10*time.Second)
	if a.peer("laptop") != nil || len(n.status().Peer) != 0 {
		t.Error("a device that waits knows others, or is known")
	}
	if out := s.cli("users", "list"); !strings.Contains(out, "waiting") {
		t.Errorf("the list does not say that somebody waits:\n%s", out)
	}
	s.cli("users", "approve", "alice")
	n.inState("Running", 10*time.Second)
	n.ready(n.status())
	n.reaches(a)
	a.reaches(n)
	a.inState("Running", time.Second) // who was there stays in
}

// TestLoginByChromium: the same with Debian's Chromium.
func TestLoginByChromium(t *testing.T) {
	s := newServer(t, overTLS)
	signInBy(t, s)
	helperIsLockedIn(t, s)
	n := newNode(t, s, "laptop", "")
	dir := browserTests(t)
	pictures := filepath.Join(dir, "../../build/browser-interop")
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "person.mjs", loginURL(t, n.Server), pictures)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "cookie __Host-fairlead true true Lax") {
		t.Error("the session's cookie is not as it should be")
	}
	if who := becomesRunning(t, n.Server); who != "alice@example.com" {
		t.Errorf("it belongs to %q", who)
	}
}
