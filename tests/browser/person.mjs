// person.mjs URL OUT [USER]: Debian's Chromium opens a device's login URL, takes pictures, and presses Connect. Exit 0: it is connected.
import { chromium } from 'playwright-core';

const [url, out] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
try {
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  const said = [];
  page.on('console', (m) => said.push(m.text()));
  page.on('pageerror', (e) => said.push(String(e)));
  await page.goto(url);
  await page.waitForSelector('h1');
  console.log(await page.title());
  await page.screenshot({ path: `${out}/consent.png`, fullPage: true });
  await page.click('button:has-text("Connect")');
  await page.waitForSelector('h1:has-text("Connected")', { timeout: 15000 });
  await page.screenshot({ path: `${out}/done.png`, fullPage: true });
  const cookies = (await page.context().cookies()).filter((c) => c.name.includes('fairlead'));
  for (const c of cookies) console.log('cookie', c.name, c.httpOnly, c.secure, c.sameSite);
  if (said.length) throw new Error(`the browser said: ${said.join(' | ')}`);
} finally {
  await browser.close();
}
