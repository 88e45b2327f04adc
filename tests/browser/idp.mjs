// idp.mjs PORT REDIRECT_URI [PROFILE [HOST]]: npm's oidc-provider with claims in the shape of a known product, and a login without a
// person: the user is login_hint, or what POST /test/user said last. PROFILE: google, entra, authelia, authentik, keycloak, plain.
import { generateKeyPair, exportJWK } from 'jose';
import { Provider } from 'oidc-provider';

const [port, redirect, profile = 'plain', host = '127.0.0.1'] = process.argv.slice(2);
const issuer = `http://${host}:${port}`;
const state = { user: 'alice', groups: { alice: ['admins', 'staff'], bob: ['staff'] }, gone: new Set(), verified: true };
const mail = (id) => (id.includes('@') ? id : `${id}@example.com`);

// What each product says of a person. Entra has no email_verified and no email for most accounts; Keycloak keeps roles below
// realm_access; Authentik's and Authelia's groups are names.
const shapes = {
  plain: (id) => ({ email: mail(id), email_verified: state.verified, name: id, preferred_username: id, groups: state.groups[id] ?? [] }),
  google: (id) => ({ email: mail(id), email_verified: state.verified, name: `${id} of Google`, given_name: id, picture: `https://pictures.example/${id}`, hd: 'example.com' }),
  entra: (id) => ({ preferred_username: mail(id), upn: mail(id), name: `${id} of Entra`, oid: `oid-${id}`, tid: 'tenant', groups: (state.groups[id] ?? []).map((g) => `guid-${g}`) }),
  authelia: (id) => ({ email: mail(id), email_verified: state.verified, preferred_username: id, name: `${id} of Authelia`, groups: state.groups[id] ?? [] }),
  authentik: (id) => ({ email: mail(id), email_verified: state.verified, preferred_username: id, nickname: id, name: `${id} of Authentik`, groups: state.groups[id] ?? [] }),
  keycloak: (id) => ({ email: mail(id), email_verified: state.verified, preferred_username: id, name: `${id} of Keycloak`, realm_access: { roles: state.groups[id] ?? [] } }),
};
const shape = shapes[profile];
const all = Object.keys(shape('x'));
const keys = await Promise.all([['RS256', 'rs1'], ['ES256', 'es1'], ['EdDSA', 'ed1']].map(async ([alg, kid]) =>
  ({ ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)), alg, kid, use: 'sig' })));
const alg = { google: 'RS256', entra: 'RS256', authelia: 'ES256', authentik: 'EdDSA' }[profile] ?? 'RS256';
const auth = { keycloak: 'client_secret_post', entra: 'client_secret_post' }[profile] ?? 'client_secret_basic';

const p = new Provider(issuer, {
  clients: [{ client_id: 'fairlead', client_secret: 'a secret/with+signs', redirect_uris: [redirect], grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'], token_endpoint_auth_method: auth, id_token_signed_response_alg: alg,
    backchannel_logout_uri: redirect.replace('callback', 'backchannel-logout/oidc'), backchannel_logout_session_required: true }],
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
  clientAuthMethods: [auth],
  claims: { openid: ['sub', 'sid'], email: all.filter((c) => c.startsWith('email')), profile: all.filter((c) => !c.startsWith('email')) },
  conformIdTokenClaims: false,
  issueRefreshToken: async (ctx, client, code) => code.scopes.has('offline_access'),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  cookies: { keys: ['test-only'] },
  jwks: { keys },
  findAccount: (_ctx, id) => (state.gone.has(id) ? undefined : { accountId: id, claims: async () => ({ sub: id, ...shape(id) }) }),
  interactions: { url: (_ctx, i) => `/auto/${i.uid}` },
  ttl: { Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 600, IdToken: 600, RefreshToken: 86400 },
});

const body = async (req) => { let s = ''; for await (const c of req) s += c; return s; };
p.use(async (ctx, next) => {
  if (ctx.path.startsWith('/test/')) { // the test's own switches
    const said = await body(ctx.req);
    if (ctx.path === '/test/user') state.user = said;
    if (ctx.path === '/test/groups') state.groups = JSON.parse(said);
    if (ctx.path === '/test/gone') state.gone.add(said);
    if (ctx.path === '/test/verified') state.verified = said === 'true';
    ctx.body = 'ok';
    return;
  }
  if (!ctx.path.startsWith('/auto/')) return next();
  const { prompt, params, session } = await p.interactionDetails(ctx.req, ctx.res);
  if (state.user === 'nobody') return p.interactionFinished(ctx.req, ctx.res, { error: 'access_denied', error_description: 'the person said no' });
  if (prompt.name === 'login') return p.interactionFinished(ctx.req, ctx.res, { login: { accountId: params.login_hint || state.user } });
  const grant = new p.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  return p.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
});
p.listen(Number(port), host, () => console.log(`listening ${issuer}`));
