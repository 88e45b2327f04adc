//go:build interop_new

package interop

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

// TestMeshWithUpstream: one of our relays in a region with one of Tailscale's, which is put together as cmd/derper does.
func TestMeshWithUpstream(t *testing.T) {
	file, hex := meshKeyFile(t)
	ours, theirs := freePort(t), freePort(t)
	s := derpserver.New(key.NewNode(), t.Logf)
	defer s.Close()
	if err := s.SetMeshKey(hex); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(tlsCert, tlsKey)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", fmt.Sprintf("%s:%d", hostIP, theirs), &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.Handler(s))
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	defer srv.Close()

	us := newDerpAlone(t, ours, "--mesh-key-file", file, "--mesh-with", net.JoinHostPort(hostName, fmt.Sprint(theirs)), "--mesh-ca",
		os.Getenv("SSL_CERT_FILE"))
	c, err := derphttp.NewClient(s.PrivateKey(), us.url, t.Logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.MeshKey, c.WatchConnectionChanges = s.MeshKey(), true
	go c.RunWatchConnectionLoop(t.Context(), s.PublicKey(), t.Logf,
		func(m derp.PeerPresentMessage) { s.AddPacketForwarder(m.Key, c) },
		func(m derp.PeerGoneMessage) { s.RemovePacketForwarder(m.Peer, c) },
		func(error) {})

	url := fmt.Sprintf("https://%s:%d/derp", hostName, theirs)
	t.Run("ours-to-theirs", func(t *testing.T) { acrossMesh(t, us.url, url, nil) })
	t.Run("theirs-to-ours", func(t *testing.T) { acrossMesh(t, url, us.url, nil) })
}
