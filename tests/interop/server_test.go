package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// flavour is how clients reach the control server.
type flavour string

const (
	plainHTTP flavour = "http"
	overTLS   flavour = "tls"
	caddy     flavour = "caddy"         // TLS ends in Caddy, with deploy/Caddyfile
	haproxy   flavour = "haproxy"       // TLS ends in HAProxy, with deploy/haproxy.cfg
	passV1    flavour = "send-proxy"    // TLS passes through HAProxy, which puts a PROXY header of version 1 before it
	passV2    flavour = "send-proxy-v2" // the same with version 2
)

// server is one fairlead process and its folder. kill and start make it crash and come back with the same data.
type server struct {
	t      testing.TB
	dir    string
	url    string
	apiKey string
	stun   int
	behind int // port on which the server listens itself, behind a proxy

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has been waited for
}

// forEachFlavour runs f against a fresh server over plain HTTP and over TLS.
func forEachFlavour(t *testing.T, f func(t *testing.T, s *server)) {
	for _, fl := range []flavour{plainHTTP, overTLS} {
		t.Run(string(fl), func(t *testing.T) { f(t, newServer(t, fl)) })
	}
}

func newServer(t testing.TB, fl flavour) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), stun: freePort(t)}
	port := freePort(t)
	tls, relay := "", ""
	switch fl {
	case plainHTTP:
		s.url = fmt.Sprintf("http://%s:%d", hostIP, port)
		relay = fmt.Sprintf("listen_addr = \"%s:%d\"\n", hostIP, freePort(t)) // TLS with a self-made certificate
	case overTLS:
		s.url = fmt.Sprintf("https://%s:%d", hostName, port)
		tls = fmt.Sprintf("tls_cert_path = %q\ntls_key_path = %q\n", tlsCert, tlsKey)
	case caddy, haproxy:
		front := freePort(t)
		s.url = fmt.Sprintf("https://%s:%d", hostName, front)
		tls = fmt.Sprintf("trusted_proxies = [\"%s/32\"]\n", hostIP)
		relay = fmt.Sprintf("port = %d\n", front)
		startProxy(t, fl, s.dir, front, port)
	case passV1, passV2:
		front := freePort(t)
		s.url = fmt.Sprintf("https://%s:%d", hostName, front)
		tls = fmt.Sprintf("tls_cert_path = %q\ntls_key_path = %q\nproxy_protocol = [\"%s/32\"]\n", tlsCert, tlsKey, hostIP)
		relay = fmt.Sprintf("port = %d\n", front)
		startProxy(t, fl, s.dir, front, port)
	}
	s.behind = port
	conf := fmt.Sprintf(`server_url = %q
listen_addr = "%s:%d"
%smetrics_listen_addr = ""
unix_socket = %q
unix_socket_permission = "0700"

[database]
path = %q

[prefixes]
v4 = %q
v6 = %q

[derp.server]
enabled = true
%sregion_id = 900
region_code = "lab"
region_name = "lab"
verify_clients = true
stun_listen_addr = "%s:%d"
stun_second_port = %d
ipv4 = %q

[dns]
magic_dns = true
base_domain = %q
override_local_dns = false

[policy]
mode = "database"

[log]
level = "debug"
format = "text"
`, s.url, hostIP, port, tls, s.file("fairlead.sock"), s.file("fairlead.db"), cgnat, ula, relay, hostIP, s.stun, freePort(t), hostIP, baseDomain)
	if err := os.WriteFile(s.file("config.toml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.kill(killed) // a clean stop lingers for its clients; TestCleanStop has it
		if t.Failed() {
			b, _ := os.ReadFile(s.file("server.log"))
			if len(b) > 20000 {
				b = b[len(b)-20000:]
			}
			t.Logf("server.log (end):\n%s", b)
		}
	})
	key := strings.Fields(s.cli("apikeys", "create", "--expiration", "24h"))
	if len(key) == 0 {
		t.Fatal("apikeys create printed nothing")
	}
	s.apiKey = key[len(key)-1]
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.dir, name) }

// start runs the server and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.file("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(binDir, "fairlead"), "serve", "--config", s.file("config.toml"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()

	eventually(s.t, 15*time.Second, "the server answers /health", func() error {
		select {
		case <-done:
			b, _ := os.ReadFile(s.file("server.log"))
			s.t.Fatalf("the server ended: %v\n%s", cmd.ProcessState, b)
		default:
		}
		c := http.Client{Timeout: time.Second}
		r, err := c.Get(s.url + "/health")
		if err != nil {
			return err
		}
		r.Body.Close()
		if r.StatusCode != 200 {
			return fmt.Errorf("/health: %s", r.Status)
		}
		return nil
	})
}

// kill sends a signal and waits for the end. It may be called from another goroutine than the test's.
func (s *server) kill(sig syscall.Signal) {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Signal(sig)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-done
		s.t.Errorf("the server did not end within 20 s of %v", sig)
	}
}

// cli runs `fairlead --config F args...` and returns its standard output.
func (s *server) cli(args ...string) string {
	s.t.Helper()
	out, err := s.tryCLI(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *server) tryCLI(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(binDir, "fairlead"), append([]string{"--config", s.file("config.toml")}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fairlead %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// rest calls the v1 API with the API key and decodes the answer into out (which may be nil).
func (s *server) rest(method, path string, body, out any) {
	s.t.Helper()
	if err := s.tryREST(method, path, body, out); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) tryREST(method, path string, body, out any) error {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		rd = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.url+"/api/v1"+path, rd)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.apiKey)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}}
	r, err := c.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, r.Status, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: %v in %s", method, path, err, b)
	}
	return nil
}

type apiUser struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type apiNode struct {
	ID          string   `json:"id"`
	NodeKey     string   `json:"nodeKey"`
	IPAddresses []string `json:"ipAddresses"`
	Name        string   `json:"name"`
	GivenName   string   `json:"givenName"`
	Online      bool     `json:"online"`
	Tags        []string `json:"tags"`
	User        *apiUser `json:"user"`
}

// addUser makes a user and returns its id.
func (s *server) addUser(name string) string {
	s.t.Helper()
	var r struct{ User apiUser }
	s.rest("POST", "/user", map[string]string{"name": name}, &r)
	if r.User.ID == "" || r.User.Name != name {
		s.t.Fatalf("created user %+v, want %q", r.User, name)
	}
	return r.User.ID
}

type keyOpts struct {
	reusable, ephemeral bool
	tags                []string
	life                time.Duration // 0: an hour
}

// addKey makes a pre-authentication key and returns its text.
func (s *server) addKey(userID string, o keyOpts) string {
	s.t.Helper()
	if o.life == 0 {
		o.life = time.Hour
	}
	var r struct{ PreAuthKey struct{ Key string } }
	s.rest("POST", "/preauthkey", map[string]any{
		"user": userID, "reusable": o.reusable, "ephemeral": o.ephemeral, "aclTags": append([]string{}, o.tags...),
		"expiration": time.Now().Add(o.life).UTC().Format(time.RFC3339Nano),
	}, &r)
	if r.PreAuthKey.Key == "" {
		s.t.Fatal("created a key without text")
	}
	return r.PreAuthKey.Key
}

func (s *server) nodes() []apiNode {
	s.t.Helper()
	var r struct{ Nodes []apiNode }
	s.rest("GET", "/node", nil, &r)
	return r.Nodes
}

// nodeNamed finds a node by its given (DNS) name.
func (s *server) nodeNamed(name string) apiNode {
	s.t.Helper()
	for _, n := range s.nodes() {
		if n.GivenName == name {
			return n
		}
	}
	s.t.Fatalf("the API lists no node %q", name)
	return apiNode{}
}

// approve lets a waiting device in, as its page tells the admin to: authURL ends in the id.
func (s *server) approve(authURL, user string) {
	s.t.Helper()
	u, err := url.Parse(authURL)
	if err != nil {
		s.t.Fatal(err)
	}
	id := u.Path[strings.LastIndex(u.Path, "/")+1:]
	if !strings.HasPrefix(authURL, s.url+"/register/") || id == "" {
		s.t.Fatalf("AuthURL %q, want %s/register/ID", authURL, s.url)
	}
	page, err := http.Get(authURL)
	if err != nil {
		s.t.Fatal(err)
	}
	b, _ := io.ReadAll(page.Body)
	page.Body.Close()
	if page.StatusCode != 200 || !strings.Contains(string(b), id) {
		s.t.Errorf("the page of a waiting device: %s, its id in it: %v", page.Status, strings.Contains(string(b), id))
	}
	s.cli("nodes", "register", "--auth-id", id, "--user", user)
}
