// Package interop drives the official client as a Go library (tsnet, derphttp, controlhttp) against this checkout's
// real server program. run.py builds it once for each version of tailscale.com and runs it in a network namespace of
// its own: loopback, and one more private address that nothing but these processes can reach.
//
//	main_test.go    the world: addresses, certificates, helpers that wait
//	server_test.go  one server: its folder, its process, its CLI and REST API
//	node_test.go    one tsnet node
//	raw_test.go     one bare ts2021 client, for what the library would never send
//	*_test.go       what must hold
package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/tailcfg"
)

const (
	hostName   = "ctl.interop.test" // run.py puts it into /etc/hosts
	baseDomain = "tail.interop.test"
)

var (
	binDir  = os.Getenv("INTEROP_BIN") // folder of fairlead and fairlead-derp
	hostIP  = os.Getenv("INTEROP_IP")  // this namespace's address that is not loopback
	tlsCert string
	tlsKey  string
)

// pinnedDERP says whether this version of the client can pin a self-made DERP certificate (CertName sha256-raw:, 1.84).
func pinnedDERP() bool { return tailcfg.CurrentCapabilityVersion >= 116 }

func TestMain(m *testing.M) {
	if binDir == "" || hostIP == "" {
		fmt.Fprintln(os.Stderr, "run these tests through tests/interop/run.py: it makes the namespace they need")
		os.Exit(2)
	}
	dir, err := os.MkdirTemp("", "interop-tls-")
	if err == nil {
		err = makeCertificates(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		os.Exit(2)
	}
	os.Setenv("SSL_CERT_FILE", filepath.Join(dir, "ca.pem"))
	envknob.SetNoLogsNoSupport()
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// makeCertificates writes a CA and a certificate for the server's name and addresses.
func makeCertificates(dir string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hostName},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{hostName}, IPAddresses: []net.IP{net.ParseIP(hostIP), net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	leafKeyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		return err
	}
	tlsCert, tlsKey = filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "leaf.key")
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{filepath.Join(dir, "ca.pem"), "CERTIFICATE", caDER}, {tlsCert, "CERTIFICATE", leafDER}, {tlsKey, "EC PRIVATE KEY", leafKeyDER}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// within gives a context that ends with the test or after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until check returns nil and fails the test with its last error after d. It returns the time taken.
func eventually(t testing.TB, d time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > d {
			t.Fatalf("%s: not within %v: %v", what, d, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort finds a port that is free for TCP and UDP on the server's addresses.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort(hostIP, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(hostIP), Port: port})
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

var (
	cgnat = netip.MustParsePrefix("100.64.0.0/10")
	ula   = netip.MustParsePrefix("fd7a:115c:a1e0::/48")
)

// checkAddrs wants one address of each family, in the tailnet's ranges.
func checkAddrs(ips []netip.Addr) error {
	if len(ips) != 2 || !cgnat.Contains(ips[0]) || !ula.Contains(ips[1]) {
		return fmt.Errorf("addresses %v, want one in %v and one in %v", ips, cgnat, ula)
	}
	return nil
}
