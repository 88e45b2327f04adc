// hostile.mjs PORT: an identity provider that lies. POST /mode says how from now on; "ok" is honest, so that a test sees both ways.
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';

const port = Number(process.argv[2]), issuer = `http://127.0.0.1:${port}`, CLIENT = 'fairlead', SECRET = 'secret';
const b64 = (x) => Buffer.from(x).toString('base64url');
const key = (bits = 2048) => generateKeyPairSync('rsa', { modulusLength: bits });
let mode = 'ok', own = key(), kid = 'k1', codes = new Map(), refreshes = new Set(), lastToken = null, hits = {};
const strange = key(), weak = key(1024);
const jwk = (k, id) => ({ ...k.publicKey.export({ format: 'jwk' }), kid: id, use: 'sig', alg: 'RS256' });
const pem = (k) => k.publicKey.export({ type: 'spki', format: 'pem' });

function token(nonce) {
  const now = Math.floor(Date.now() / 1000);
  const h = { alg: 'RS256', kid, typ: 'JWT' };
  let c = { iss: issuer, aud: CLIENT, sub: 'mallory', iat: now, exp: now + 300, nonce, email: 'mallory@example.com', email_verified: true, name: 'Mallory' };
  let signer = own, signature;
  switch (mode) {
    case 'new-email': c.email = 'mallory@new.example.com'; break;
    case 'iss': c.iss = 'https://accounts.google.com'; break;
    case 'iss-slash': c.iss += '/'; break;
    case 'no-iss': delete c.iss; break;
    case 'aud': c.aud = 'another-client'; break;
    case 'no-aud': delete c.aud; break;
    case 'aud-two': c.aud = [CLIENT, 'another-client']; break;
    case 'azp': c.azp = 'another-client'; break;
    case 'nonce': c.nonce = randomBytes(32).toString('base64url'); break;
    case 'no-nonce': delete c.nonce; break;
    case 'expired': c.iat -= 900; c.exp = now - 600; break;
    case 'no-exp': delete c.exp; break;
    case 'future': c.iat = now + 3600; c.exp = now + 7200; break;
    case 'old': c.iat = now - 7200; c.exp = now + 300; break;
    case 'nbf': c.nbf = now + 3600; break;
    case 'no-sub': delete c.sub; break;
    case 'sub-number': c.sub = 5; break;
    case 'replay': if (lastToken) return lastToken; break;
    case 'kid': h.kid = 'k-unknown'; break;
    case 'key': signer = strange; break;
    case 'weak': signer = weak; h.kid = 'weak'; break;
    case 'embedded': signer = strange; h.jwk = jwk(strange, kid); break;
    case 'jku': signer = strange; h.jku = `${issuer}/strange-jwks`; h.x5u = h.jku; break;
    case 'crit': h.crit = ['exp']; break;
    case 'b64': h.b64 = false; h.crit = ['b64']; break;
    case 'none': h.alg = 'none'; break;
    case 'none-case': h.alg = 'NoNe'; break;
    case 'no-alg': delete h.alg; break;
    case 'hs-key': case 'hs-jwk': case 'hs-secret': h.alg = 'HS256'; break;
    case 'alg-other': h.alg = 'ES256'; break;
    case 'big-claims': c.padding = 'x'.repeat(60000); break;
    case 'deep': c.deep = JSON.parse('['.repeat(400) + ']'.repeat(400)); break;
    case 'nul': c.email = 'admin@example.com\0.evil.example'; break;
    case 'groups': c.groups = Array.from({ length: 5000 }, (_, i) => `group-${i}`); break;
  }
  const head = `${b64(JSON.stringify(h))}.${b64(mode === 'not-json' ? '{"iss":' : JSON.stringify(c))}`;
  if (mode === 'none' || mode === 'none-case' || mode === 'no-alg') signature = '';
  else if (mode === 'hs-key') signature = createHmac('sha256', pem(own)).update(head).digest('base64url');
  else if (mode === 'hs-jwk') signature = createHmac('sha256', JSON.stringify(jwk(own, kid))).update(head).digest('base64url');
  else if (mode === 'hs-secret') signature = createHmac('sha256', SECRET).update(head).digest('base64url');
  else signature = sign('sha256', Buffer.from(head), signer.privateKey).toString('base64url');
  if (mode === 'signature') signature = signature.slice(0, -6) + (signature.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA');
  if (mode === 'five-parts') return `${head}.${signature}.x.y`;
  if (mode === 'two-parts') return head;
  const t = `${head}.${signature}`;
  if (mode === 'ok') lastToken = t;
  return t;
}

// A logout token, wrong in the way that kind says; "ok" is right.
function logoutToken(kind) {
  const now = Math.floor(Date.now() / 1000), h = { alg: 'RS256', kid, typ: 'logout+jwt' };
  const c = { iss: issuer, aud: CLIENT, sub: 'mallory', iat: now, exp: now + 120, jti: randomBytes(16).toString('hex'),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} } };
  let signer = own;
  switch (kind) {
    case 'iss': c.iss = 'https://accounts.google.com'; break;
    case 'aud': c.aud = 'another-client'; break;
    case 'nonce': c.nonce = 'n'; break;
    case 'events': c.events = { 'http://schemas.openid.net/event/other': {} }; break;
    case 'no-events': delete c.events; break;
    case 'no-jti': delete c.jti; break;
    case 'nobody': delete c.sub; break;
    case 'old': c.iat -= 7200; break;
    case 'expired': c.iat -= 900; c.exp = now - 600; break;
    case 'key': signer = strange; break;
    case 'none': h.alg = 'none'; break;
    case 'somebody-else': c.sub = 'admin'; break;
  }
  const head = `${b64(JSON.stringify(h))}.${b64(JSON.stringify(c))}`;
  return `${head}.${kind === 'none' ? '' : sign('sha256', Buffer.from(head), signer.privateKey).toString('base64url')}`;
}

// Good for one time.
const refresh = () => { const t = randomBytes(16).toString('hex'); refreshes.add(t); return t; };

const read = async (req) => { let s = ''; for await (const c of req) s += c; return s; };
const json = (res, o, status = 200) => { res.writeHead(status, { 'content-type': 'application/json' }); res.end(JSON.stringify(o)); };
const drip = (res) => { res.writeHead(200, { 'content-type': 'application/json' }); const t = setInterval(() => res.write(' '), 500); res.on('close', () => clearInterval(t)); };

createServer(async (req, res) => {
  const url = new URL(req.url, issuer), path = url.pathname;
  hits[path] = (hits[path] ?? 0) + 1;
  if (path === '/mode') { mode = await read(req); if (mode === 'rotate') { own = key(); kid = `k${Date.now()}`; mode = 'ok'; } hits = {}; return res.end(); }
  if (path === '/hits') return json(res, hits);
  if (path === '/logout-token') return res.end(logoutToken(await read(req)));
  if (path === '/.well-known/openid-configuration')
    return json(res, { issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks`,
      userinfo_endpoint: `${issuer}/userinfo`, authorization_response_iss_parameter_supported: true });
  if (path === '/jwks') return json(res, { keys: mode === 'many-keys' ? Array.from({ length: 500 }, (_, i) => jwk(own, `x${i}`)) : [jwk(own, kid), { ...jwk(weak, 'weak') }] });
  if (path === '/strange-jwks') return json(res, { keys: [jwk(strange, kid)] });
  if (path === '/auth') {
    const code = randomBytes(16).toString('hex'), back = new URL(url.searchParams.get('redirect_uri'));
    codes.set(code, url.searchParams.get('nonce'));
    back.searchParams.set('code', code);
    back.searchParams.set('state', url.searchParams.get('state'));
    if (mode === 'mixed-up') back.searchParams.set('iss', 'https://accounts.google.com');
    else if (mode !== 'no-iss-parameter') back.searchParams.set('iss', issuer);
    res.writeHead(302, { location: back.href });
    return res.end();
  }
  if (path === '/token') {
    const form = new URLSearchParams(await read(req)), nonce = codes.get(form.get('code'));
    if (mode === 'slow') return; // and never
    if (mode === 'drip') return drip(res);
    if (mode === 'redirect') { res.writeHead(307, { location: `${issuer}/elsewhere` }); return res.end(); }
    if (mode === 'big-answer') return json(res, { id_token: token(nonce), padding: 'x'.repeat(3 << 20) });
    if (mode === 'html') { res.writeHead(200, { 'content-type': 'text/html' }); return res.end('<html>hello</html>'); }
    if (mode === 'error') return json(res, { error: 'server_error', error_description: '<script>alert(1)</script>' }, 400);
    if (mode === '500') return json(res, {}, 500);
    if (mode === 'no-token') return json(res, { access_token: 'a', token_type: 'Bearer' });
    if (mode === 'bad-client') return json(res, { error: 'invalid_client' }, 401);
    if (mode === 'forbidden') return json(res, { message: 'blocked' }, 403);
    if (mode === 'not-found') { res.writeHead(404); return res.end('nothing here'); }
    if (mode === 'gone') return json(res, { error: 'invalid_grant' }, 400);
    if (form.get('grant_type') === 'refresh_token') {
      if (!refreshes.delete(form.get('refresh_token'))) return json(res, { error: 'invalid_grant' }, 400);
      return json(res, { access_token: 'a', token_type: 'Bearer', id_token: token(undefined), refresh_token: refresh() });
    }
    if (nonce === undefined) return json(res, { error: 'invalid_grant' }, 400);
    codes.delete(form.get('code'));
    return json(res, { access_token: 'a', token_type: 'Bearer', id_token: token(nonce), refresh_token: refresh() });
  }
  if (path === '/userinfo') {
    if (mode === 'userinfo-other') return json(res, { sub: 'admin', email: 'admin@example.com', email_verified: true, groups: ['admins'] });
    if (mode === 'userinfo-slow') return;
    if (mode === 'userinfo-big') return json(res, { sub: 'mallory', padding: 'x'.repeat(3 << 20) });
    if (mode === 'userinfo-500') return json(res, {}, 500);
    if (mode === 'userinfo-401') return json(res, {}, 401);
    return json(res, { sub: 'mallory', groups: ['ops'] });
  }
  if (path === '/elsewhere') return json(res, { access_token: 'a', id_token: token(undefined) });
  res.writeHead(404);
  res.end();
}).listen(port, '127.0.0.1', () => console.log(`listening ${issuer}`));
