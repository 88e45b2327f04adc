// pages.mjs OUT < JSON: opens every page of {"local", "one", "two", …} in Debian's Chromium without scripts, in light, dark and on a
// small screen, keeps a picture of each, and prints TAP: what it shows, that nothing is said on the console, nothing overflows.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { look, person, still, walk } from './look.mjs';

const w = JSON.parse(readFileSync(0, 'utf8'));

const totp = (text) => {
  const bits = [...text].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2))), step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const mac = createHmac('sha1', key).update(step).digest(), o = mac[19] & 15;
  return String((mac.readUInt32BE(o) & 0x7fffffff) % 1000000).padStart(6, '0');
};

await walk(async () => {
  let p = await person(); // a server without providers
  await p.goto(w.local.base); await look(p, 'root', 'Fairlead', 'tailscale up');
  await p.goto(w.local.device); await look(p, 'waiting', 'A device wants to join', 'fairlead nodes register', 'Sign in to connect it');
  await p.click('a:has-text("Sign in to connect it")'); await look(p, 'login-local', 'Sign in', 'Password', 'fairlead console login');
  await p.fill('#name', 'ann'); await p.fill('#password', 'not the one'); await p.fill('#code', '000000'); await p.click('button:has-text("Sign in")');
  await look(p, 'login-wrong', 'That did not work', 'is wrong');
  await p.goto(w.local.link); await look(p, 'welcome', 'Welcome', 'ann');
  await p.click('button'); await look(p, 'start-local', 'Your network, in two steps', 'Set a password', 'tailscale up');
  await p.click('a:has-text("Android")'); await look(p, 'start-android', 'Your network, in two steps', 'Use an alternate server');
  await p.click('a:has-text("My devices")'); await look(p, 'my-empty', 'My devices', 'ann', 'tailscale up', 'No device is yours yet', 'This browser');
  await p.click('a:has-text("Set a password")'); await look(p, 'password', 'Your password', 'authenticator app');
  await p.fill('#password', 'correct horse battery'); await p.fill('#again', 'correct horse'); await p.fill('#code', '1'); await p.click('button');
  await look(p, 'password-differs', 'Your password', 'not the same');
  await p.fill('#password', 'correct horse battery'); await p.fill('#again', 'correct horse battery');
  await p.fill('#code', totp(await p.getAttribute('input[name=totp]', 'value'))); await p.click('button');
  await look(p, 'password-saved', 'Saved');
  await p.goto(w.local.link); await look(p, 'welcome-used', 'This link cannot be used', 'used already');

  p = await person(); // one provider
  await p.goto(w.one.device); await look(p, 'connect', 'Connect this device?', 'alice@example.com', 'Asked from', 'The link that the device shows ends in', w.one.device.slice(-8), 'It will reach', '2 machines', 'Ends in 180 days', 'Not mine');
  await p.click('button:has-text("Connect")'); await look(p, 'done', 'Connected', 'Address');
  await p.goto(w.one.device); await look(p, 'gone', 'This link cannot be used', 'tailscale up');
  await p.goto(w.one.stranger); await look(p, 'connect-stranger', 'Connect this device?');
  await p.click('button:has-text("Not mine")'); await look(p, 'not-mine', 'Not connected', 'was logged');
  await p.goto(`${w.one.base}/my`); await look(p, 'my', 'My devices', 'alice@example.com', 'desk', 'What I can reach', 'all ports');
  await p.click('a:has-text("Something missing?")'); await look(p, 'missing', 'Something missing?', 'Say what you want to reach');
  await p.fill('#what', 'db-primary on 5432'); await p.fill('#why', 'the weekly report'); await p.click('button:has-text("Ask")');
  await look(p, 'missing-asked', 'Something missing?', 'You asked for', 'db-primary on 5432', 'the weekly report', 'Take back');
  await p.click('button:has-text("Take back")'); await p.waitForSelector('h1'); if (await p.locator('text=db-primary').count()) throw new Error('it is still there');
  await p.click('a:has-text("Back")');
  const row = (name) => p.locator(`li:has(b:text-is("${name}"))`);
  await row('laptop').locator('summary').click();
  await look(p, 'my-change', 'My devices', 'Remove…');
  await p.setViewportSize({ width: 360, height: 740 }); // an ordinary user, on a phone, without scripts
  await row('laptop').locator('input[name=name]').fill('Not a name!'); await row('laptop').locator('button:has-text("Rename")').click();
  await look(p, 'my-bad-name', 'That did not work', 'Not a name!');
  await p.click('a:has-text("Back")');
  await row('laptop').locator('summary').click();
  await row('laptop').locator('input[name=name]').fill('alices-laptop'); await row('laptop').locator('button:has-text("Rename")').click();
  await p.waitForSelector('b:text-is("alices-laptop")');
  await row('alices-laptop').locator('summary').click(); await row('alices-laptop').locator('button:has-text("Renew")').click();
  await p.waitForSelector('b:text-is("alices-laptop")');
  await row('alices-laptop').locator('summary').click(); await row('alices-laptop').locator('button:has-text("Sign out")').click();
  await look(p, 'my-signed-out', 'My devices', 'Signed out');
  await row('alices-laptop').locator('summary').click(); await row('alices-laptop').locator('a:has-text("Remove")').click();
  await look(p, 'my-remove', 'Remove this device?', 'alices-laptop', 'Keep it');
  await p.click('button:has-text("Remove")');
  await look(p, 'my-removed', 'My devices', 'desk');
  if (await row('alices-laptop').count()) throw new Error('it is still there');
  await p.click('button:has-text("Make a key")'); await look(p, 'my-key', 'Add a device', '--auth-key hskey-auth-', 'On a phone');
  await p.goto(`${w.one.base}/my`);
  await p.goto(w.one.ssh); await look(p, 'ssh', 'Open this SSH session?', 'root');
  await p.click('button:has-text("Open the session")'); await look(p, 'ssh-done', 'Confirmed');
  await p.goto(`${w.one.base}/my`);
  await p.click('header button:has-text("Sign out")'); await look(p, 'signed-out', 'Signed out');
  await p.goto(`${w.one.base}/oidc/callback?state=${'A'.repeat(43)}&code=x`); await look(p, 'expired', 'This sign-in took too long');
  await p.goto(`${w.one.base}/login`); await look(p, 'login', 'Sign in', 'Continue with', 'or with an account');
  await (await fetch(`${w.one.idp}/test/user`, { method: 'POST', body: 'nobody' })).text();
  p = await person();
  await p.goto(w.one.other); await look(p, 'refused', 'You cannot sign in', 'the person said no', 'Ask the administrator');

  p = await person(); // who is new waits
  await p.goto(w.waits.device); await look(p, 'connect-waits', 'Connect this device?', 'waits for an administrator');
  await p.click('button:has-text("Connect")'); await look(p, 'done-waits', 'Waits for approval', 'help@example.com', 'My devices');
  await p.click('a:has-text("My devices")'); await still(p); await look(p, 'user-waits', 'Waits for approval', 'alice@example.com', 'help@example.com', 'goes on by itself');
  await p.goto(`${w.waits.base}/nowhere`); await look(p, 'not-found', 'Nothing is here');
  await p.goto(`${w.waits.base}/login`);
  for (let i = 0; i < 60; i++) {
    await p.fill('#name', 'ann'); await p.fill('#password', 'a guess of many'); await p.fill('#code', '000000'); await p.click('button:has-text("Sign in")');
    if (await p.innerText('h1') === 'Too many tries') break;
  }
  await look(p, 'too-many', 'Too many tries', 'Wait a few minutes');

  p = await person(); // two, one of them away
  await p.goto(w.two.device); await look(p, 'choose', 'Sign in', 'Continue with First', 'Continue with Second');
  await p.click('a:has-text("Second")'); await look(p, 'provider-away', 'The sign-in service cannot be reached', 'Second does not answer', 'Other ways to sign in');
});
