// pages.mjs OUT < JSON: opens every page of {"local", "one", "two", …} in Debian's Chromium without scripts, in light, dark and on a
// small screen, keeps a picture of each, and prints TAP: what it shows, that nothing is said on the console, nothing overflows.
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const out = process.argv[2], w = JSON.parse(readFileSync(0, 'utf8'));
mkdirSync(out, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
let n = 0, failed = 0;

function tell(ok, name, why = '') {
  n++;
  failed += ok ? 0 : 1;
  console.log(`${ok ? 'ok' : 'not ok'} ${n} - ${name}${why ? `\n# ${why}` : ''}`);
}

async function person() {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 900, height: 700 } });
  const page = await context.newPage();
  page.said = [];
  page.on('console', (m) => page.said.push(m.text()));
  return page;
}

// The page as it is now, three times; then the checks.
async function look(page, name, title, ...words) {
  const faults = [];
  const text = await page.innerText('body');
  const h1 = await page.innerText('h1');
  if (h1 !== title) faults.push(`its title is ${h1}, not ${title}`);
  for (const word of words) if (!text.includes(word)) faults.push(`it does not say ${word}: ${text}`);
  for (const [kind, size, scheme] of [['light', { width: 900, height: 700 }, 'light'], ['dark', { width: 900, height: 700 }, 'dark'], ['phone', { width: 360, height: 740 }, 'light']]) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: `${out}/${name}-${kind}.png`, fullPage: true });
    const box = await page.locator('main').boundingBox();
    if (box.x < 0 || box.x + box.width > size.width) faults.push(`it overflows at ${size.width}`);
  }
  await page.setViewportSize({ width: 900, height: 700 });
  if (await page.locator('script').count()) faults.push('it has a script');
  // A page that answers 4xx says so on the console; nothing else may.
  const said = page.said.filter((s) => !s.includes('the server responded with a status of'));
  if (said.length) faults.push(`the browser said ${said.join(' | ')}`);
  page.said.length = 0;
  tell(!faults.length, name, faults.join('; '));
}

const totp = (text) => {
  const bits = [...text].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2))), step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const mac = createHmac('sha1', key).update(step).digest(), o = mac[19] & 15;
  return String((mac.readUInt32BE(o) & 0x7fffffff) % 1000000).padStart(6, '0');
};

try {
  let p = await person(); // a server without providers
  await p.goto(w.local.base); await look(p, 'root', 'Fairlead', 'tailscale up');
  await p.goto(w.local.device); await look(p, 'waiting', 'A device wants to join', 'fairlead nodes register', 'Sign in to connect it');
  await p.click('a:has-text("Sign in to connect it")'); await look(p, 'login-local', 'Sign in', 'Password', 'fairlead console login');
  await p.fill('#name', 'ann'); await p.fill('#password', 'not the one'); await p.fill('#code', '000000'); await p.click('button');
  await look(p, 'login-wrong', 'That did not work', 'is wrong');
  await p.goto(w.local.link); await look(p, 'welcome', 'Welcome', 'ann');
  await p.click('button'); await look(p, 'my-empty', 'Your devices', 'ann', 'tailscale up');
  await p.click('a:has-text("Set a password")'); await look(p, 'password', 'Your password', 'authenticator app');
  await p.fill('#password', 'correct horse battery'); await p.fill('#again', 'correct horse'); await p.fill('#code', '1'); await p.click('button');
  await look(p, 'password-differs', 'Your password', 'not the same');
  await p.fill('#password', 'correct horse battery'); await p.fill('#again', 'correct horse battery');
  await p.fill('#code', totp(await p.getAttribute('input[name=totp]', 'value'))); await p.click('button');
  await look(p, 'password-saved', 'Saved');
  await p.goto(w.local.link); await look(p, 'welcome-used', 'This link cannot be used', 'used already');

  p = await person(); // one provider
  await p.goto(w.one.device); await look(p, 'connect', 'Connect this device?', 'alice@example.com', 'Asked from', 'Not mine');
  await p.click('button:has-text("Connect")'); await look(p, 'done', 'Connected', 'Address');
  await p.goto(w.one.device); await look(p, 'gone', 'This link cannot be used', 'tailscale up');
  await p.goto(w.one.stranger); await look(p, 'connect-stranger', 'Connect this device?');
  await p.click('button:has-text("Not mine")'); await look(p, 'not-mine', 'Not connected', 'was logged');
  await p.goto(`${w.one.base}/my`); await look(p, 'my', 'Your devices', 'alice@example.com');
  await p.goto(w.one.ssh); await look(p, 'ssh', 'Open this SSH session?', 'root');
  await p.click('button:has-text("Open the session")'); await look(p, 'ssh-done', 'Confirmed');
  await p.goto(`${w.one.base}/my`);
  await p.click('button:has-text("Sign out")'); await look(p, 'signed-out', 'Signed out');
  await p.goto(`${w.one.base}/oidc/callback?state=${'A'.repeat(43)}&code=x`); await look(p, 'expired', 'This sign-in took too long');
  await p.goto(`${w.one.base}/login`); await look(p, 'login', 'Sign in', 'Continue with', 'Or with a password');
  await p.goto(`${w.one.base}/admin`); await look(p, 'admin', 'Administration');
  await (await fetch(`${w.one.idp}/test/user`, { method: 'POST', body: 'nobody' })).text();
  p = await person();
  await p.goto(w.one.other); await look(p, 'refused', 'You cannot sign in', 'the person said no', 'Ask the administrator');

  p = await person(); // two, one of them away
  await p.goto(w.two.device); await look(p, 'choose', 'Sign in', 'Continue with First', 'Continue with Second');
  await p.click('a:has-text("Second")'); await look(p, 'provider-away', 'The sign-in service cannot be reached');
} catch (e) {
  tell(false, 'the walk through the pages', String(e.stack).replaceAll('\n', '\n# '));
} finally {
  await browser.close();
}
console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
