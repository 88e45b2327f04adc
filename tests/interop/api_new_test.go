//go:build interop_new

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	tsapi "tailscale.com/client/tailscale/v2"
)

// TestGoClient asks with Tailscale's own API client, as the Terraform provider and the Kubernetes operator do, for every service
// that it offers, against a server with a joined device.
func TestGoClient(t *testing.T) {
	s := newServer(t, overTLS)
	user := s.addUser("ann")
	n := join(t, s, "box", s.addKey(user, keyOpts{}))
	base, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	c := &tsapi.Client{BaseURL: base, APIKey: s.apiKey, UserAgent: "interop"}
	ctx := within(t, 60*time.Second)
	for _, part := range []struct {
		name string
		test func(*testing.T, context.Context, *tsapi.Client, *server, *node)
	}{
		{"devices", clientDevices}, {"posture", clientAttributes}, {"dns", clientDNS}, {"keys", clientKeys}, {"policy", clientPolicy},
		{"settings", clientSettings}, {"contacts", clientContacts}, {"users", clientUsers}, {"services", clientServices},
		{"webhooks", clientWebhooks}, {"not here", clientNotHere}, {"federated", clientFederated}, {"oauth", clientOAuth},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, ctx, c, s, n) })
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: %#v, not %#v", what, got, want)
	}
}

func refusedWith(t *testing.T, err error, want int) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was not refused, want %d", want)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("(%d)", want)) {
		t.Fatalf("refused with %v, want %d", err, want)
	}
}

func clientDevices(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	devices := must[[]tsapi.Device](t)(c.Devices().ListWithAllFields(ctx))
	if len(devices) != 1 {
		t.Fatalf("%d devices", len(devices))
	}
	d := devices[0]
	equal(t, "nodeId and the device's own StableID", d.NodeID, string(n.status().Self.ID))
	equal(t, "name", d.Name, "box."+baseDomain)
	equal(t, "addresses", d.Addresses, []string{n.ip4.String(), n.ip6.String()})
	equal(t, "user", d.User, "ann")
	one := must[*tsapi.Device](t)(c.Devices().GetWithAllFields(ctx, d.NodeID))
	equal(t, "one and the same", one.ID, d.ID)
	found := must[[]tsapi.Device](t)(c.Devices().List(ctx, tsapi.WithFilter("hostname", []string{"box"})))
	equal(t, "filter", len(found), 1)
	found = must[[]tsapi.Device](t)(c.Devices().List(ctx, tsapi.WithFilter("hostname", []string{"other"})))
	equal(t, "filter that nobody passes", len(found), 0)

	fine(t, c.Devices().SetAuthorized(ctx, d.NodeID, false))
	equal(t, "authorized", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).Authorized, false)
	fine(t, c.Devices().SetAuthorized(ctx, d.NodeID, true))
	equal(t, "authorized", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).Authorized, true)
	fine(t, c.Devices().SetName(ctx, d.NodeID, "chosen"))
	equal(t, "name", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).Name, "chosen."+baseDomain)
	fine(t, c.Devices().SetName(ctx, d.NodeID, ""))
	equal(t, "name", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).Name, "box."+baseDomain)
	fine(t, c.Devices().SetKey(ctx, d.NodeID, tsapi.DeviceKey{KeyExpiryDisabled: true}))
	equal(t, "key expiry", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).KeyExpiryDisabled, true)
	fine(t, c.Devices().SetKey(ctx, d.NodeID, tsapi.DeviceKey{KeyExpiryDisabled: false}))
	equal(t, "key expiry", must[*tsapi.Device](t)(c.Devices().Get(ctx, d.NodeID)).KeyExpiryDisabled, false)
	fine(t, c.Devices().SetSubnetRoutes(ctx, d.NodeID, []string{"10.0.1.0/24", "2.0.0.0/24", "1.2.0.0/16"}))
	routes := must[*tsapi.DeviceRoutes](t)(c.Devices().SubnetRoutes(ctx, d.NodeID))
	equal(t, "routes by value", routes.Enabled, []string{"1.2.0.0/16", "2.0.0.0/24", "10.0.1.0/24"})
	fine(t, c.Devices().SetSubnetRoutes(ctx, d.NodeID, nil))
	equal(t, "no routes", must[*tsapi.DeviceRoutes](t)(c.Devices().SubnetRoutes(ctx, d.NodeID)).Enabled, []string{})
	fine(t, c.Devices().SetIPv4Address(ctx, d.NodeID, "100.64.77.7"))
	eventually(t, 10*time.Second, "the device hears of its new address", func() error {
		if ips := n.status().TailscaleIPs; !slices.Contains(ips, netip.MustParseAddr("100.64.77.7")) {
			return fmt.Errorf("it has %v", ips)
		}
		return nil
	})
	refusedWith(t, c.Devices().SetIPv4Address(ctx, d.NodeID, "10.0.0.1"), 400)
	_, err := c.Devices().Get(ctx, "n404")
	if !tsapi.IsNotFound(err) {
		t.Fatalf("a device that is nowhere: %v", err)
	}
	extra := join(t, s, "extra", s.addKey(user0(t, ctx, c), keyOpts{}))
	extra.Close()
	gone := must[[]tsapi.Device](t)(c.Devices().List(ctx, tsapi.WithFilter("hostname", []string{"extra"})))
	fine(t, c.Devices().Delete(ctx, gone[0].NodeID))
	if _, err := c.Devices().Get(ctx, gone[0].NodeID); !tsapi.IsNotFound(err) {
		t.Fatalf("after its deletion: %v", err)
	}
}

func user0(t *testing.T, ctx context.Context, c *tsapi.Client) string {
	t.Helper()
	return must[[]tsapi.User](t)(c.Users().List(ctx, nil, nil))[0].ID
}

func deviceID(t *testing.T, ctx context.Context, c *tsapi.Client) string {
	t.Helper()
	return must[[]tsapi.Device](t)(c.Devices().List(ctx))[0].NodeID
}

func clientAttributes(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	id := deviceID(t, ctx, c)
	fine(t, c.Devices().SetPostureAttribute(ctx, id, "custom:tier", tsapi.DevicePostureAttributeRequest{Value: "gold"}))
	end := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	fine(t, c.Devices().SetPostureAttribute(ctx, id, "custom:score", tsapi.DevicePostureAttributeRequest{Value: 7, Expiry: tsapi.Time{Time: end}, Comment: "for a while"}))
	a := must[*tsapi.DevicePostureAttributes](t)(c.Devices().GetPostureAttributes(ctx, id))
	equal(t, "text", a.Attributes["custom:tier"], any("gold"))
	equal(t, "number", a.Attributes["custom:score"], any(float64(7)))
	equal(t, "its end", a.Expiries["custom:score"].Time.Equal(end), true)
	equal(t, "what the device says", a.Attributes["node:os"], any("linux"))
	fine(t, c.Devices().DeletePostureAttribute(ctx, id, "custom:tier"))
	a = must[*tsapi.DevicePostureAttributes](t)(c.Devices().GetPostureAttributes(ctx, id))
	if _, ok := a.Attributes["custom:tier"]; ok {
		t.Fatal("it is still there")
	}
	refusedWith(t, c.Devices().SetPostureAttribute(ctx, id, "other:x", tsapi.DevicePostureAttributeRequest{Value: true}), 400)
}

func clientDNS(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	d := c.DNS()
	fine(t, d.SetNameservers(ctx, []string{"9.9.9.9", "1.1.1.1"}))
	equal(t, "nameservers keep their order", must[[]string](t)(d.Nameservers(ctx)), []string{"9.9.9.9", "1.1.1.1"})
	fine(t, d.SetSearchPaths(ctx, []string{"b.example", "a.example"}))
	equal(t, "search paths", must[[]string](t)(d.SearchPaths(ctx)), []string{"b.example", "a.example"})
	fine(t, d.SetPreferences(ctx, tsapi.DNSPreferences{MagicDNS: false}))
	equal(t, "MagicDNS", must[*tsapi.DNSPreferences](t)(d.Preferences(ctx)).MagicDNS, false)
	fine(t, d.SetPreferences(ctx, tsapi.DNSPreferences{MagicDNS: true}))
	fine(t, d.SetSplitDNS(ctx, tsapi.SplitDNSRequest{"a.example": {"10.0.0.1"}, "b.example": {"10.0.0.2"}}))
	got := must[tsapi.SplitDNSResponse](t)(d.UpdateSplitDNS(ctx, tsapi.SplitDNSRequest{"b.example": {}, "c.example": {"10.0.0.3"}}))
	want := tsapi.SplitDNSResponse{"a.example": {"10.0.0.1"}, "c.example": {"10.0.0.3"}}
	equal(t, "split DNS after a change", got, want)
	equal(t, "split DNS", must[tsapi.SplitDNSResponse](t)(d.SplitDNS(ctx)), want)

	conf := must[*tsapi.DNSConfiguration](t)(d.Configuration(ctx))
	equal(t, "all of it: nameservers", []string{conf.Nameservers[0].Address, conf.Nameservers[1].Address}, []string{"9.9.9.9", "1.1.1.1"})
	conf.Preferences.OverrideLocalDNS = true
	conf.Nameservers[0].Address, conf.Nameservers[1].Address = conf.Nameservers[1].Address, conf.Nameservers[0].Address
	fine(t, d.SetConfiguration(ctx, *conf))
	equal(t, "all of it, sent back", must[*tsapi.DNSConfiguration](t)(d.Configuration(ctx)), conf)
	bad := *conf
	bad.Nameservers = nil // nothing to override with
	refusedWith(t, d.SetConfiguration(ctx, bad), 400)
	equal(t, "all of it, after a refusal", must[*tsapi.DNSConfiguration](t)(d.Configuration(ctx)), conf)
	fine(t, d.SetConfiguration(ctx, tsapi.DNSConfiguration{}))
	empty := must[*tsapi.DNSConfiguration](t)(d.Configuration(ctx))
	if empty.Nameservers != nil || empty.SplitDNS != nil || empty.SearchPaths != nil {
		t.Fatalf("after a reset: %#v", empty)
	}
	equal(t, "nameservers", must[[]string](t)(d.Nameservers(ctx)), []string{})
	equal(t, "split DNS", must[tsapi.SplitDNSResponse](t)(d.SplitDNS(ctx)), tsapi.SplitDNSResponse{})
}

func clientKeys(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	var caps tsapi.KeyCapabilities
	caps.Devices.Create.Reusable = true
	caps.Devices.Create.Tags = []string{"tag:web"}
	fine(t, c.PolicyFile().Set(ctx, `{"tagOwners": {"tag:web": ["autogroup:admin"]}}`, ""))
	k := must[*tsapi.Key](t)(c.Keys().CreateAuthKey(ctx, tsapi.CreateKeyRequest{Capabilities: caps, ExpirySeconds: 3600, Description: "one"}))
	if !strings.Contains(k.Key, "-auth-") || k.Expires.Sub(k.Created) != time.Hour {
		t.Fatalf("%#v", k)
	}
	again := must[*tsapi.Key](t)(c.Keys().Get(ctx, k.ID))
	equal(t, "the secret is told once", again.Key, "")
	equal(t, "capabilities", again.Capabilities, caps)
	fine(t, c.Keys().Delete(ctx, k.ID))
	equal(t, "after its end", must[*tsapi.Key](t)(c.Keys().Get(ctx, k.ID)).Invalid, true)

	o := must[*tsapi.Key](t)(c.Keys().CreateOAuthClient(ctx, tsapi.CreateOAuthClientRequest{Scopes: []string{"dns", "devices:core"}, Tags: []string{"tag:web"}, Description: "two"}))
	equal(t, "scopes in their order", o.Scopes, []string{"dns", "devices:core"})
	o = must[*tsapi.Key](t)(c.Keys().SetOAuthClient(ctx, o.ID, tsapi.SetOAuthClientRequest{Scopes: []string{"dns:read"}, Description: "three"}))
	equal(t, "scopes", o.Scopes, []string{"dns:read"})
	equal(t, "tags", len(o.Tags), 0)
	ids := []string{}
	for _, k := range must[[]tsapi.Key](t)(c.Keys().List(ctx, true)) {
		ids = append(ids, k.ID)
	}
	if !slices.Contains(ids, o.ID) || !slices.Contains(ids, k.ID) {
		t.Fatalf("%v has not both of %s and %s", ids, k.ID, o.ID)
	}
	fine(t, c.Keys().Delete(ctx, o.ID))
	o = must[*tsapi.Key](t)(c.Keys().Get(ctx, o.ID))
	if !o.Invalid || o.Revoked.IsZero() {
		t.Fatalf("after its end: %#v", o)
	}
	fine(t, c.PolicyFile().Set(ctx, `{}`, ""))
}

func clientPolicy(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	p := c.PolicyFile()
	text := "{\n\t// who may do what\n\t\"acls\": [\n\t\t{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},\n\t],\n}\n"
	fine(t, p.Validate(ctx, text))
	fine(t, p.Set(ctx, text, ""))
	raw := must[*tsapi.RawACL](t)(p.Raw(ctx))
	equal(t, "text", raw.HuJSON, text)
	acl := must[*tsapi.ACL](t)(p.Get(ctx))
	equal(t, "as JSON", acl.ACLs[0].Action, "accept")
	fine(t, p.Set(ctx, "{}", raw.ETag))
	refusedWith(t, p.Set(ctx, text, raw.ETag), 412)
	err := p.Validate(ctx, `{"acls": [{"action": "accept", "src": ["tag:nobody"], "dst": ["*:*"]}]}`)
	if err == nil {
		t.Fatal("a tag that nobody owns is valid")
	}
	refusedWith(t, p.Set(ctx, `{"acls": [`, ""), 400)
	fine(t, p.Set(ctx, text, must[*tsapi.RawACL](t)(p.Raw(ctx)).ETag))
}

func clientSettings(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	ts := c.TailnetSettings()
	yes, no, days := true, false, 90
	fine(t, ts.Update(ctx, tsapi.UpdateTailnetSettingsRequest{DevicesApprovalOn: &yes, DevicesAutoUpdatesOn: &yes, DevicesKeyDurationDays: &days}))
	got := must[*tsapi.TailnetSettings](t)(ts.Get(ctx))
	if !got.DevicesApprovalOn || !got.DevicesAutoUpdatesOn || got.DevicesKeyDurationDays != 90 {
		t.Fatalf("%#v", got)
	}
	fine(t, ts.Update(ctx, tsapi.UpdateTailnetSettingsRequest{DevicesApprovalOn: &no, DevicesAutoUpdatesOn: &no}))
	got = must[*tsapi.TailnetSettings](t)(ts.Get(ctx))
	equal(t, "what was not named stays", got.DevicesKeyDurationDays, 90)
	refusedWith(t, ts.Update(ctx, tsapi.UpdateTailnetSettingsRequest{NetworkFlowLoggingOn: &yes}), 501)
	days = 1000
	refusedWith(t, ts.Update(ctx, tsapi.UpdateTailnetSettingsRequest{DevicesKeyDurationDays: &days}), 400)
}

func clientContacts(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	for i, kind := range []tsapi.ContactType{tsapi.ContactAccount, tsapi.ContactSupport, tsapi.ContactSecurity} {
		mail := fmt.Sprintf("person%d@example.com", i)
		for range 2 { // as Terraform does
			fine(t, c.Contacts().Update(ctx, kind, tsapi.UpdateContactRequest{Email: &mail}))
		}
	}
	got := must[*tsapi.Contacts](t)(c.Contacts().Get(ctx))
	equal(t, "contacts", []string{got.Account.Email, got.Support.Email, got.Security.Email}, []string{"person0@example.com", "person1@example.com", "person2@example.com"})
	equal(t, "verification", got.Account.NeedsVerification || got.Support.NeedsVerification, false)
	wrong := "nobody"
	refusedWith(t, c.Contacts().Update(ctx, tsapi.ContactSupport, tsapi.UpdateContactRequest{Email: &wrong}), 400)
}

func clientUsers(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	all := must[[]tsapi.User](t)(c.Users().List(ctx, nil, nil))
	equal(t, "login name", all[0].LoginName, "ann")
	equal(t, "devices", all[0].DeviceCount, 1)
	equal(t, "one", *must[*tsapi.User](t)(c.Users().Get(ctx, all[0].ID)), all[0])
	role := tsapi.UserRoleOwner
	equal(t, "by role", len(must[[]tsapi.User](t)(c.Users().List(ctx, nil, &role))), 0)
	kind := tsapi.UserTypeShared
	equal(t, "by type", len(must[[]tsapi.User](t)(c.Users().List(ctx, &kind, nil))), 0)
	if _, err := c.Users().Get(ctx, "999999"); !tsapi.IsNotFound(err) {
		t.Fatalf("a user who is nowhere: %v", err)
	}
}

func clientServices(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	v := c.Services()
	if _, err := v.Get(ctx, "svc:web"); !tsapi.IsNotFound(err) {
		t.Fatalf("before it is made: %v", err)
	}
	fine(t, v.CreateOrUpdate(ctx, tsapi.Service{Name: "svc:web", Annotations: map[string]string{"tailscale.com/owner-references": `{"x":1}`}, Ports: []string{"tcp:443"}}))
	got := must[*tsapi.Service](t)(v.Get(ctx, "svc:web"))
	if len(got.Addrs) != 2 || got.Annotations["tailscale.com/owner-references"] != `{"x":1}` {
		t.Fatalf("%#v", got)
	}
	before := *got
	got.Comment = "changed"
	fine(t, v.CreateOrUpdate(ctx, *got))
	after := must[*tsapi.Service](t)(v.Get(ctx, "svc:web"))
	before.Comment = "changed"
	equal(t, "after a change", *after, before)
	equal(t, "all", len(must[[]tsapi.Service](t)(v.List(ctx))), 1)
	fine(t, v.Delete(ctx, "svc:web"))
	if _, err := v.Get(ctx, "svc:web"); !tsapi.IsNotFound(err) {
		t.Fatalf("after its deletion: %v", err)
	}
}

func clientWebhooks(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	w := c.Webhooks()
	subs := []tsapi.WebhookSubscriptionType{tsapi.WebhookNodeCreated, tsapi.WebhookCategoryTailnetManagement}
	made := must[*tsapi.Webhook](t)(w.Create(ctx, tsapi.CreateWebhookRequest{EndpointURL: "https://example.com/hook", ProviderType: tsapi.WebhookEmptyProviderType, Subscriptions: subs}))
	if made.Secret == nil || *made.Secret == "" {
		t.Fatalf("%#v", made)
	}
	got := must[*tsapi.Webhook](t)(w.Get(ctx, made.EndpointID))
	sort.Slice(got.Subscriptions, func(i, j int) bool { return got.Subscriptions[i] < got.Subscriptions[j] })
	sort.Slice(subs, func(i, j int) bool { return subs[i] < subs[j] })
	equal(t, "subscriptions, word for word", got.Subscriptions, subs)
	equal(t, "the secret is told once", got.Secret == nil || *got.Secret == "", true)
	got = must[*tsapi.Webhook](t)(w.Update(ctx, made.EndpointID, []tsapi.WebhookSubscriptionType{tsapi.WebhookNodeDeleted}))
	equal(t, "subscriptions", got.Subscriptions, []tsapi.WebhookSubscriptionType{tsapi.WebhookNodeDeleted})
	other := must[*tsapi.Webhook](t)(w.RotateSecret(ctx, made.EndpointID))
	equal(t, "another secret", *other.Secret != *made.Secret, true)
	fine(t, w.Test(ctx, made.EndpointID))
	equal(t, "all", len(must[[]tsapi.Webhook](t)(w.List(ctx))), 1)
	fine(t, w.Delete(ctx, made.EndpointID))
	if _, err := w.Get(ctx, made.EndpointID); !tsapi.IsNotFound(err) {
		t.Fatalf("after its deletion: %v", err)
	}
}

// What could have no effect here is refused with the reason, and not stored.
func clientNotHere(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	_, err := c.DevicePosture().ListIntegrations(ctx)
	refusedWith(t, err, 501)
	_, err = c.DevicePosture().CreateIntegration(ctx, tsapi.CreatePostureIntegrationRequest{Provider: tsapi.PostureIntegrationProviderFalcon})
	refusedWith(t, err, 501)
	_, err = c.Logging().LogstreamConfiguration(ctx, tsapi.LogTypeConfig)
	refusedWith(t, err, 501)
	refusedWith(t, c.Logging().SetLogstreamConfiguration(ctx, tsapi.LogTypeNetwork, tsapi.SetLogstreamConfigurationRequest{}), 501)
	_, err = c.Logging().CreateOrGetAwsExternalId(ctx, false)
	refusedWith(t, err, 501)
}

// clientFederated: identities of other issuers are kept as Tailscale's client writes them. That their tokens are taken: tests/integration/federation.py.
func clientFederated(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	made := must[*tsapi.Key](t)(c.Keys().CreateFederatedIdentity(ctx, tsapi.CreateFederatedIdentityRequest{Scopes: []string{"dns"},
		Issuer: "https://idp.example", Subject: "x-*", CustomClaimRules: map[string]string{"repo": "a*"}, Description: "ci"}))
	if made.KeyType != "federated" || made.Key != "" || made.Audience == "" || made.CustomClaimRules["repo"] != "a*" || made.Subject != "x-*" {
		t.Fatalf("made: %+v", made)
	}
	set := must[*tsapi.Key](t)(c.Keys().SetFederatedIdentity(ctx, made.ID, tsapi.SetFederatedIdentityRequest{Scopes: []string{"dns:read"}, Issuer: "https://idp.example", Subject: "y"}))
	if set.Audience != made.Audience || set.Subject != "y" || len(set.CustomClaimRules) != 0 || len(set.Scopes) != 1 || set.Scopes[0] != "dns:read" {
		t.Fatalf("set: %+v", set)
	}
	if err := c.Keys().Delete(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if gone := must[*tsapi.Key](t)(c.Keys().Get(ctx, made.ID)); !gone.Invalid {
		t.Fatalf("after its end: %+v", gone)
	}
}

// clientOAuth: a token of an OAuth client does what its scopes say, and no more.
func clientOAuth(t *testing.T, ctx context.Context, c *tsapi.Client, s *server, n *node) {
	o := must[*tsapi.Key](t)(c.Keys().CreateOAuthClient(ctx, tsapi.CreateOAuthClientRequest{Scopes: []string{"dns:read"}}))
	less := &tsapi.Client{BaseURL: c.BaseURL, Auth: &tsapi.OAuth{ClientID: o.ID, ClientSecret: o.Key, Scopes: []string{"dns:read"}}}
	must[[]string](t)(less.DNS().Nameservers(ctx))
	refusedWith(t, less.DNS().SetNameservers(ctx, nil), 403)
	_, err := less.Devices().List(ctx)
	refusedWith(t, err, 403)
	fine(t, c.Keys().Delete(ctx, o.ID))
	_, err = less.DNS().Nameservers(ctx)
	refusedWith(t, err, 401)
}
