// passkeys.mjs OUT < {base, link, device}: passkeys in Debian's Chromium with its virtual authenticator: added, used without a name, used up,
// named, removed; a copied authenticator, one without a fingerprint and a replayed answer are refused. Prints TAP.
import { readFileSync } from 'node:fs';
import { look, person, tell, walk } from './look.mjs';

const w = JSON.parse(readFileSync(0, 'utf8'));

async function authenticator(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal',
    hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  const ask = (what, more = {}) => cdp.send(`WebAuthn.${what}`, { authenticatorId, ...more });
  return { ask, credentials: async () => (await ask('getCredentials')).credentials };
}

await walk(async () => {
  const p = await person({}), a = await authenticator(p);
  await p.goto(w.link);
  await p.click('button:has-text("Sign in")');
  await look(p, 'start', 'Your network, in three steps', 'Check that machines can reach this server', 'Make this account yours', 'Add a passkey', 'Set a password', 'Connect your first machine');
  await p.fill('#passkey-name', 'laptop');
  await p.click('button:has-text("Add a passkey")');
  await p.waitForURL('**/welcome');
  await p.goto(`${w.base}/welcome?still=1`);
  await look(p, 'start-owner', 'Your network, in three steps', 'ann, with a passkey', 'Waits for your first machine');
  await p.goto(`${w.base}/my/passkeys`);
  await look(p, 'passkeys', 'Your passkeys', 'laptop', 'Never used');
  tell((await a.credentials()).length === 1 && (await a.credentials())[0].isResidentCredential, 'the passkey is kept by the authenticator');

  // The same authenticator is not asked twice.
  await p.click('form[data-passkey] button');
  await p.waitForSelector('form[data-passkey] [role=alert]:not([hidden])');
  tell(true, 'a second passkey of the same authenticator is not made');

  const signIn = async () => { await p.goto(`${w.base}/login`); await p.click('button:has-text("Use a passkey")'); };
  const signOut = async () => { await p.goto(`${w.base}/my`); await p.click('header button:has-text("Sign out")'); await p.waitForSelector('h1:has-text("Signed out")'); };
  await signOut();
  await p.goto(`${w.base}/login`);
  await look(p, 'login-passkey', 'Sign in', 'Use a passkey', 'Password');
  const posted = p.waitForRequest((r) => r.method() === 'POST');
  await p.click('button:has-text("Use a passkey")');
  const answer = (await posted).postData();
  await p.waitForURL('**/my');
  tell((await p.innerText('body')).includes('ann'), 'signed in without a name');

  // The same answer once more, from the same page's origin.
  const again = await p.evaluate(async ([url, body]) => {
    const r = await fetch(url, { method: 'POST', body, redirect: 'manual', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
    return [r.status, await r.text()];
  }, [`${w.base}/login/passkey`, answer]).catch((e) => [0, String(e)]);
  tell(again[0] === 403 || again[0] === 0, 'an answer works once', JSON.stringify(again).slice(0, 200));
  const context = p.context();
  const r = await context.request.post(`${w.base}/login/passkey`, { data: answer, maxRedirects: 0,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: w.base } });
  tell(r.status() === 403 && (await r.text()).includes('used before'), 'a replayed answer is refused', `${r.status()} ${await r.text()}`);
  const other = await context.request.post(`${w.base}/login/passkey`, { data: answer, maxRedirects: 0,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: 'https://evil.example' } });
  tell(other.status() === 403 && (await other.text()).includes('too old'), 'another site cannot send one');
  p.said.length = 0;

  // A device, by passkey.
  await signOut();
  await p.goto(w.device);
  await p.click('a:has-text("Sign in to connect it")');
  await p.click('button:has-text("Use a passkey")');
  await p.waitForURL('**/connect/*');
  await p.click('button:has-text("Connect")');
  await p.waitForSelector('h1:has-text("Connected")');
  tell(true, 'a device is connected by passkey');

  // Named, and no way but back to where one came from.
  await p.goto(`${w.base}/login?to=/my/passkeys`);
  await p.click('button:has-text("Use a passkey")');
  await p.waitForURL('**/my/passkeys');
  await p.click('summary');
  await p.fill('details input[name=name]', 'work laptop');
  await p.click('details button');
  await p.waitForSelector('b:has-text("work laptop")');
  tell((await p.innerText('main')).includes('Last used'), 'a passkey is renamed, and its last use is shown');
  await p.goto(`${w.base}/login?to=//evil.example/my`);
  await p.click('button:has-text("Use a passkey")');
  await p.waitForURL(`${w.base}/my`);
  tell(true, 'nobody is sent elsewhere');

  // A copy of the authenticator: its counter stays behind.
  const [c] = await a.credentials();
  await a.ask('removeCredential', { credentialId: c.credentialId });
  await a.ask('addCredential', { credential: { ...c, signCount: 1 } });
  await signIn();
  await p.waitForSelector('h1:has-text("You cannot sign in")');
  await look(p, 'passkey-copied', 'You cannot sign in', 'old counter', 'Try again');
  await a.ask('removeCredential', { credentialId: c.credentialId });
  await a.ask('addCredential', { credential: { ...c, signCount: c.signCount + 10 } });
  await signIn();
  await p.waitForURL('**/my');
  tell(true, 'the real one goes on');

  // Without a fingerprint, face or PIN the browser gives none.
  await a.ask('setUserVerified', { isUserVerified: false });
  await signOut();
  await signIn();
  await p.waitForSelector('form[data-passkey] [role=alert]:not([hidden])');
  tell(true, 'no passkey without its person');
  await a.ask('setUserVerified', { isUserVerified: true });

  // Removed: it is known no more.
  await p.goto(`${w.base}/login?to=/my/passkeys`);
  await p.click('button:has-text("Use a passkey")');
  await p.waitForURL('**/my/passkeys');
  await p.click('button:has-text("Remove")');
  await p.waitForFunction(() => !document.querySelector('b'));
  await signIn();
  await p.waitForSelector('h1:has-text("You cannot sign in")');
  await look(p, 'passkey-removed', 'You cannot sign in', 'not known here');

  // Without scripts the page says so, and the rest works.
  const q = await person();
  await q.goto(w.second);
  await q.click('button:has-text("Sign in")');
  await look(q, 'start-no-script', 'Your network, in three steps', 'Set a password');
  tell(!(await q.isVisible('form[data-passkey]')), 'without scripts no passkey is offered');
  await q.goto(`${w.base}/my/passkeys`);
  await look(q, 'passkeys-no-script', 'Your passkeys', 'needs scripts');
});
