package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

func fetchJSON(t *testing.T, url string, out any) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	if r.StatusCode != 200 || json.Unmarshal(b, out) != nil {
		t.Fatalf("%s: %s: %s", url, r.Status, b)
	}
}

func b64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A workload gets a token by its client, and a relying party checks it with what the server shows of itself.
func TestIDToken(t *testing.T) {
	s := newServer(t, plainHTTP)
	a := join(t, s, "a", s.addKey(s.addUser("ann"), keyOpts{}))
	lc, err := a.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	r, err := lc.IDToken(within(t, 20*time.Second), "vault")
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(r.IDToken, ".")
	if len(part) != 3 {
		t.Fatalf("token %q", r.IDToken)
	}
	var conf struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	fetchJSON(t, s.url+"/.well-known/openid-configuration", &conf)
	var jwks struct {
		Keys []struct{ Kid, Alg, X, Y string }
	}
	fetchJSON(t, conf.JWKSURI, &jwks)
	var head struct{ Kid, Alg string }
	var claims struct {
		Iss, Aud, Sub, User string
		Nid, Exp, Iat       int64
	}
	if json.Unmarshal(b64(t, part[0]), &head) != nil || json.Unmarshal(b64(t, part[1]), &claims) != nil {
		t.Fatalf("token %q", r.IDToken)
	}
	k := jwks.Keys[0]
	if head.Kid != k.Kid || head.Alg != "ES256" || k.Alg != "ES256" {
		t.Fatalf("header %+v, key %+v", head, k)
	}
	pub := ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(b64(t, k.X)), Y: new(big.Int).SetBytes(b64(t, k.Y))}
	sum, sig := sha256.Sum256([]byte(part[0]+"."+part[1])), b64(t, part[2])
	if !ecdsa.Verify(&pub, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the signature is wrong")
	}
	if conf.Issuer != s.url || claims.Iss != s.url || claims.Aud != "vault" || !strings.HasPrefix(claims.Sub, "a.") ||
		!strings.HasSuffix(claims.User, ":ann") || claims.Exp <= time.Now().Unix() {
		t.Errorf("claims %+v of %+v", claims, conf)
	}
}

// What nodes debug says of a client that has all it should have.
func TestNodesDebug(t *testing.T) {
	s := newServer(t, plainHTTP)
	k := s.addKey(s.addUser("ann"), keyOpts{reusable: true})
	a := join(t, s, "a", k)
	join(t, s, "b", k)
	a.sees("b", "online", 10*time.Second, online)
	var d struct {
		ToldThisMap bool
		Stream      *struct{ AgeMs, Messages, BytesBehind int }
		Map         struct{ Peers []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(s.cli("nodes", "debug", "a")), &d); err != nil {
		t.Fatal(err)
	}
	if !d.ToldThisMap || d.Stream == nil || d.Stream.Messages == 0 || d.Stream.BytesBehind != 0 || len(d.Map.Peers) != 1 {
		t.Errorf("%+v", d)
	}
}
