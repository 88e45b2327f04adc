package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"tailscale.com/types/key"
)

// TestProxyProtocol: HAProxy passes TLS on and says with a PROXY header who called, in both versions of it, with the second
// half of our example configuration. Who is listed as such a proxy and sends no header is not served.
func TestProxyProtocol(t *testing.T) {
	for _, fl := range []flavour{passV1, passV2} {
		t.Run(string(fl), func(t *testing.T) {
			s := newServer(t, fl)
			k := s.addKey(s.addUser("alice"), keyOpts{reusable: true})
			a, b := join(t, s, "alpha", k), join(t, s, "beta", k)
			a.sees("beta", "online", 10*time.Second, online)
			a.reaches(b)
			b.reaches(a)
			rs := joinRaws(t, s, k, "n", 2)
			tryRelay(t, derpURL(t, s, rs[0]), rs[0].node, rs[1].node, key.NewNode())

			c, err := net.Dial("tcp", fmt.Sprintf("%s:%d", hostIP, s.behind))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
			answer := make([]byte, 100)
			if n, err := c.Read(answer); err == nil && strings.HasPrefix(string(answer[:n]), "HTTP/1.1 2") {
				t.Errorf("without a header: %q", answer[:n])
			}
		})
	}
}
