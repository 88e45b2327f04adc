package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlbase"
	"tailscale.com/envknob"
	"tailscale.com/net/wsconn"
	"tailscale.com/types/key"
)

// overNoise puts the HTTP/2 session of r onto a connection that the Noise handshake is done on.
func (r *raw) overNoise(c net.Conn) error {
	plain, err := skipEarly(c)
	if err != nil {
		return err
	}
	h2, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(plain)
	if err != nil {
		return err
	}
	r.conn, r.h2 = c, h2
	return nil
}

// get sends a request on an open HTTP/1 connection and reads its answer.
func get(c net.Conn, br *bufio.Reader, path string) (int, []byte, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, hostName); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// TestKeptAlive: a proxy sends all kinds of requests, of several clients, down one connection. Each is answered by whom it
// is meant for, in any order, and the last one may turn the connection into a session.
func TestKeptAlive(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
	ctx := within(t, 30*time.Second)
	control, err := s.controlKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(s.url)
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	br := bufio.NewReader(c)
	for i, q := range []struct {
		path   string
		status int
		has    string
	}{
		{"/key?v=113", 200, `"publicKey":"mkey:`}, {"/health", 200, ""}, {"/key?v=113", 200, `"publicKey":"mkey:`}, {"/api/v1/user", 401, ""},
		{"/derp/probe", 200, ""}, {"/health", 200, ""}, {"/generate_204", 204, ""}, {"/key?v=113", 200, `"publicKey":"mkey:`},
		{"/health", 200, ""},
	} {
		status, body, err := get(c, br, q.path)
		if err != nil || status != q.status || !bytes.Contains(body, []byte(q.has)) {
			t.Fatalf("request %d, %s: %d %q %v; want %d and %q", i, q.path, status, body, err, q.status, q.has)
		}
	}

	r := newRaw(s, "kept")
	defer r.close()
	init, cont, err := controlbase.ClientDeferred(r.machine, control, uint16(r.version))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"+
		"X-Tailscale-Handshake: %s\r\nContent-Length: 0\r\n\r\n", hostName, base64.StdEncoding.EncodeToString(init))
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade as a later request: %v %v", resp, err)
	}
	cb, err := cont(ctx, &earlyConn{c, br})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.overNoise(cb); err != nil {
		t.Fatal(err)
	}
	if err := r.joinKey(ctx, k); err != nil {
		t.Fatal(err)
	}
	if m, err := r.fullMap(ctx); err != nil || checkAddrsOf(m) != nil {
		t.Errorf("the map over it: %v", err)
	}
}

// TestWebSocketControl: the form of /ts2021 that browsers use.
func TestWebSocketControl(t *testing.T) {
	forEachFlavour(t, func(t *testing.T, s *server) {
		k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
		ctx := within(t, 30*time.Second)
		control, err := s.controlKey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r := newRaw(s, "browser")
		defer r.close()
		init, cont, err := controlbase.ClientDeferred(r.machine, control, uint16(r.version))
		if err != nil {
			t.Fatal(err)
		}
		to := "ws" + s.url[len("http"):] + "/ts2021?" + url.Values{"X-Tailscale-Handshake": {base64.StdEncoding.EncodeToString(init)}}.Encode()
		ws, _, err := websocket.Dial(ctx, to, &websocket.DialOptions{Subprotocols: []string{"tailscale-control-protocol"}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		if ws.Subprotocol() != "tailscale-control-protocol" {
			t.Errorf("subprotocol %q", ws.Subprotocol())
		}
		cb, err := cont(ctx, wsconn.NetConn(context.Background(), ws, websocket.MessageBinary, to))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.overNoise(cb); err != nil {
			t.Fatal(err)
		}
		if err := r.joinKey(ctx, k); err != nil {
			t.Fatal(err)
		}
		st, err := r.poll(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		defer st.close()
		if m, err := st.next(); err != nil || checkAddrsOf(m) != nil {
			t.Fatalf("first map: %v", err)
		}
		joinRaws(t, s, k, "n", 1) // a change comes down the same WebSocket
		for {
			m, err := st.next()
			if err != nil {
				t.Fatal(err)
			}
			if len(m.PeersChanged) == 1 {
				break
			}
		}
	})
}

// TestWebSocketDERP: the relay as browsers reach it. run.py builds derphttp with its WebSocket client.
func TestWebSocketDERP(t *testing.T) {
	s := newServer(t, overTLS)
	rs := joinRaws(t, s, s.addKey(s.addUser("alice"), keyOpts{reusable: true}), "n", 2)
	relayURL := derpURL(t, s, rs[0])
	envknob.Setenv("TS_DEBUG_DERP_WS_CLIENT", "true")
	defer envknob.Setenv("TS_DEBUG_DERP_WS_CLIENT", "")
	var said bytes.Buffer // derphttp says so in the standard log
	log.SetOutput(&said)
	defer log.SetOutput(os.Stderr)
	tryRelay(t, relayURL, rs[0].node, rs[1].node, key.NewNode())
	if !strings.Contains(said.String(), "websocket: connected to") {
		t.Errorf("the client did not come by WebSocket: %q", said.String())
	}
}
