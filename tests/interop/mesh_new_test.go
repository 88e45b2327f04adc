//go:build interop_new

package interop

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

// upstreamRelay is one of Tailscale's relays, put together as cmd/derper does, meshed with one of ours at meshURL.
type upstreamRelay struct {
	url  string
	stop func()
}

func newUpstreamRelay(t *testing.T, port int, hex, meshURL string) *upstreamRelay {
	t.Helper()
	s := derpserver.New(key.NewNode(), t.Logf)
	if err := s.SetMeshKey(hex); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(tlsCert, tlsKey)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", fmt.Sprintf("%s:%d", hostIP, port), &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.Handler(s))
	mux.HandleFunc("/derp/latency-check", func(http.ResponseWriter, *http.Request) {})
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)

	c, err := derphttp.NewClient(s.PrivateKey(), meshURL, t.Logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	c.MeshKey, c.WatchConnectionChanges = s.MeshKey(), true
	go c.RunWatchConnectionLoop(t.Context(), s.PublicKey(), t.Logf,
		func(m derp.PeerPresentMessage) { s.AddPacketForwarder(m.Key, c) },
		func(m derp.PeerGoneMessage) { s.RemovePacketForwarder(m.Peer, c) },
		func(error) {})
	u := &upstreamRelay{url: fmt.Sprintf("https://%s:%d/derp", hostName, port)}
	u.stop = sync.OnceFunc(func() { srv.Close(); c.Close(); s.Close() })
	t.Cleanup(u.stop)
	return u
}

// TestMeshWithUpstream: one of our relays in a region with one of Tailscale's.
func TestMeshWithUpstream(t *testing.T) {
	file, hex := meshKeyFile(t)
	ours, theirs := freePort(t), freePort(t)
	us := newDerpAlone(t, ours, "--mesh-key-file", file, "--mesh-with", net.JoinHostPort(hostName, fmt.Sprint(theirs)), "--mesh-ca",
		os.Getenv("SSL_CERT_FILE"))
	u := newUpstreamRelay(t, theirs, hex, us.url)
	t.Run("ours-to-theirs", func(t *testing.T) { acrossMesh(t, us.url, u.url, nil) })
	t.Run("theirs-to-ours", func(t *testing.T) { acrossMesh(t, u.url, us.url, nil) })
}

// TestMeshWithUpstreamUnderTraffic: one node at each of the two, and theirs ends in the middle of a transfer.
func TestMeshWithUpstreamUnderTraffic(t *testing.T) {
	onlyDERP(t)
	s := newServer(t, overTLS)
	file, hex := meshKeyFile(t)
	ours, theirs := freePort(t), freePort(t)
	us := newDerpAlone(t, ours, "--mesh-key-file", file, "--mesh-with", net.JoinHostPort(hostName, fmt.Sprint(theirs)), "--mesh-ca",
		os.Getenv("SSL_CERT_FILE"))
	var u *upstreamRelay
	meshed(t, s, theirs, ours, func() { u = newUpstreamRelay(t, theirs, hex, us.url) }, func() { u.stop() },
		func() float64 { return us.counter("packets_forwarded_out") })
}
