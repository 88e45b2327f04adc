package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlhttp"
	"tailscale.com/net/dnscache"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// rawHome is a relay of others: of its own the server waits until a new node reached it before it tells the peers (T43), and
// raw nodes do not go there by themselves.
const rawHome = 901

// raw is a bare ts2021 client: the official Noise handshake and HTTP/2, but our own requests.
type raw struct {
	s       *server
	name    string
	version tailcfg.CapabilityVersion
	machine key.MachinePrivate
	node    key.NodePrivate
	disco   key.DiscoPrivate

	conn io.Closer
	h2   *http2.ClientConn
}

func newRaw(s *server, name string) *raw {
	return &raw{s: s, name: name, version: tailcfg.CurrentCapabilityVersion,
		machine: key.NewMachine(), node: key.NewNode(), disco: key.NewDisco()}
}

func (r *raw) close() {
	if r.conn != nil {
		r.conn.Close()
		r.conn, r.h2 = nil, nil
	}
}

// earlyConn is a Noise connection whose optional early payload has been read away.
type earlyConn struct {
	net.Conn
	rest io.Reader
}

func (c *earlyConn) Read(p []byte) (int, error) { return c.rest.Read(p) }

// skipEarly reads past the early payload, if the server sends one: 5 magic bytes, a big-endian length, JSON.
func skipEarly(c net.Conn) (net.Conn, error) {
	var h [9]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return nil, err
	}
	if string(h[:5]) != "\xff\xff\xffTS" {
		return &earlyConn{c, io.MultiReader(bytes.NewReader(h[:]), c)}, nil
	}
	n := binary.BigEndian.Uint32(h[5:])
	if n > 10<<10 {
		return nil, fmt.Errorf("early payload of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	var early tailcfg.EarlyNoise
	if err := json.Unmarshal(b, &early); err != nil {
		return nil, fmt.Errorf("early payload: %v", err)
	}
	return c, nil
}

// dial opens the Noise and HTTP/2 session. Requests dial by themselves; only tests of the handshake call it.
func (r *raw) dial(ctx context.Context) error {
	control, err := r.s.controlKey(ctx)
	if err != nil {
		return err
	}
	u, err := url.Parse(r.s.url)
	if err != nil {
		return err
	}
	d := &controlhttp.Dialer{
		Hostname: u.Hostname(), MachineKey: r.machine, ControlKey: control, ProtocolVersion: uint16(r.version),
		Dialer: (&net.Dialer{}).DialContext, NetMon: netmon.NewStatic(), Logf: func(string, ...any) {},
		DNSCache: &dnscache.Resolver{SingleHost: u.Hostname(), SingleHostStaticResult: []netip.Addr{netip.MustParseAddr(hostIP)}},
	}
	if u.Scheme == "http" {
		d.HTTPPort, d.HTTPSPort = u.Port(), controlhttp.NoPort
	} else {
		d.HTTPPort, d.HTTPSPort = "1", u.Port() // nothing listens on port 1: TLS at once
	}
	c, err := d.Dial(ctx)
	if err != nil {
		return err
	}
	if dl, ok := ctx.Deadline(); ok {
		c.SetReadDeadline(dl)
	}
	plain, err := skipEarly(c)
	if err != nil {
		c.Close()
		return fmt.Errorf("after the Noise handshake: %w", err)
	}
	c.SetReadDeadline(time.Time{})
	h2, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(plain)
	if err != nil {
		c.Close()
		return err
	}
	r.conn, r.h2 = c, h2
	return nil
}

// post sends one request inside the tunnel. The answer's body must be closed.
func (r *raw) post(ctx context.Context, path string, body any) (*http.Response, error) {
	return r.send(ctx, "POST", path, body)
}

func (r *raw) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	if r.h2 == nil || !r.h2.CanTakeNewRequest() {
		r.close()
		if err := r.dial(ctx); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+hostName+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return r.h2.RoundTrip(req)
}

// registerRequest is what a client of this version would send first.
func (r *raw) registerRequest(authKey string) *tailcfg.RegisterRequest {
	q := &tailcfg.RegisterRequest{
		Version: r.version, NodeKey: r.node.Public(), NLKey: key.NewNLPrivate().Public(),
		Hostinfo: &tailcfg.Hostinfo{Hostname: r.name, OS: "linux", BackendLogID: "interop"},
	}
	if authKey != "" {
		q.Auth = &tailcfg.RegisterResponseAuth{AuthKey: authKey}
	}
	return q
}

// register sends q and decodes the answer. An HTTP status other than 200 is an error.
func (r *raw) register(ctx context.Context, q *tailcfg.RegisterRequest) (*tailcfg.RegisterResponse, error) {
	resp, err := r.post(ctx, "/machine/register", q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("register: %s: %s", resp.Status, b)
	}
	var a tailcfg.RegisterResponse
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("register: %v in %s", err, b)
	}
	return &a, nil
}

// joinKey registers with a key and wants to be let in.
func (r *raw) joinKey(ctx context.Context, authKey string) error {
	a, err := r.register(ctx, r.registerRequest(authKey))
	if err != nil {
		return err
	}
	if a.Error != "" || !a.MachineAuthorized {
		return fmt.Errorf("not let in: error %q, authorized %v, auth URL %q", a.Error, a.MachineAuthorized, a.AuthURL)
	}
	return nil
}

// endpoint gives every raw node an address of its own to report, so that the server announces it at once.
func (r *raw) endpoint() netip.AddrPort {
	b := r.node.Public().Raw32()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, b[0]}), 1024+binary.BigEndian.Uint16(b[1:])%60000)
}

// update sends the lite map request that tells the server our disco key, endpoint and home relay.
func (r *raw) update(ctx context.Context) error {
	resp, err := r.post(ctx, "/machine/map", &tailcfg.MapRequest{
		Version: r.version, NodeKey: r.node.Public(), DiscoKey: r.disco.Public(), OmitPeers: true,
		Endpoints: []netip.AddrPort{r.endpoint()}, EndpointTypes: []tailcfg.EndpointType{tailcfg.EndpointLocal},
		Hostinfo: &tailcfg.Hostinfo{Hostname: r.name, OS: "linux", NetInfo: &tailcfg.NetInfo{PreferredDERP: rawHome}},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 {
		return fmt.Errorf("map update: %s: %s", resp.Status, b)
	}
	return nil
}

// stream is an open map poll.
type stream struct {
	body   io.ReadCloser
	cancel context.CancelFunc
	dec    *zstd.Decoder // nil: not compressed
}

// message is one framed map response: as it came, and decoded.
type message struct {
	payload []byte
	json    []byte
	tailcfg.MapResponse
}

// poll opens a streaming map request. It lives until closed or until ctx ends.
func (r *raw) poll(ctx context.Context, compress bool) (*stream, error) {
	q := &tailcfg.MapRequest{
		Version: r.version, NodeKey: r.node.Public(), DiscoKey: r.disco.Public(), Stream: true, KeepAlive: true,
		Hostinfo: &tailcfg.Hostinfo{Hostname: r.name, OS: "linux", NetInfo: &tailcfg.NetInfo{PreferredDERP: rawHome}},
	}
	st := &stream{}
	if compress {
		q.Compress = "zstd"
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, err
		}
		st.dec = d
	}
	ctx, st.cancel = context.WithCancel(ctx)
	resp, err := r.post(ctx, "/machine/map", q)
	if err != nil {
		st.cancel()
		return nil, err
	}
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		st.cancel()
		return nil, fmt.Errorf("map poll: %s: %s", resp.Status, b)
	}
	st.body = resp.Body
	return st, nil
}

func (st *stream) close() {
	st.cancel()
	st.body.Close()
	if st.dec != nil {
		st.dec.Close()
	}
}

// next reads one message; keepalives too.
func (st *stream) next() (*message, error) {
	var size uint32
	if err := binary.Read(st.body, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size == 0 || size > 16<<20 {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	m := &message{payload: make([]byte, size)}
	if _, err := io.ReadFull(st.body, m.payload); err != nil {
		return nil, err
	}
	m.json = m.payload
	if st.dec != nil {
		var err error
		if m.json, err = st.dec.DecodeAll(m.payload, nil); err != nil {
			return nil, fmt.Errorf("zstd: %v in %x", err, m.payload)
		}
	}
	if err := json.Unmarshal(m.json, &m.MapResponse); err != nil {
		return nil, fmt.Errorf("%v in %s", err, m.json)
	}
	return m, nil
}

// fullMap opens a poll, reads the first message that is no keepalive, and closes it.
func (r *raw) fullMap(ctx context.Context) (*message, error) {
	st, err := r.poll(ctx, true)
	if err != nil {
		return nil, err
	}
	defer st.close()
	for {
		m, err := st.next()
		if err != nil {
			return nil, err
		}
		if m.KeepAlive {
			continue
		}
		if m.Node == nil {
			return nil, errors.New("the first message has no Node")
		}
		return m, nil
	}
}

var controlKeys sync.Map // server URL -> key.MachinePublic

// controlKey fetches /key once for each server; it survives restarts.
func (s *server) controlKey(ctx context.Context) (key.MachinePublic, error) {
	if k, ok := controlKeys.Load(s.url); ok {
		return k.(key.MachinePublic), nil
	}
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/key?v=%d", s.url, tailcfg.CurrentCapabilityVersion), nil)
	if err != nil {
		return key.MachinePublic{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return key.MachinePublic{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return key.MachinePublic{}, err
	}
	var a tailcfg.OverTLSPublicKeyResponse
	if err := json.Unmarshal(b, &a); err != nil || a.PublicKey.IsZero() {
		return key.MachinePublic{}, fmt.Errorf("/key: %s: %v in %q", resp.Status, err, b)
	}
	controlKeys.Store(s.url, a.PublicKey)
	return a.PublicKey, nil
}

// joinRaws registers n raw nodes, some at a time, and makes them known (announced) to each other.
func joinRaws(t testing.TB, s *server, authKey, prefix string, n int) []*raw {
	t.Helper()
	ctx := within(t, 60*time.Second)
	rs := make([]*raw, n)
	errs := make(chan error, n)
	slots := make(chan struct{}, 8)
	for i := range rs {
		rs[i] = newRaw(s, fmt.Sprintf("%s%03d", prefix, i))
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			err := rs[i].joinKey(ctx, authKey)
			if err == nil {
				err = rs[i].update(ctx)
			}
			errs <- err
		}()
	}
	for range rs {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, r := range rs {
			r.close()
		}
	})
	return rs
}
