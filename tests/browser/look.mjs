// look.mjs: what the browser tests share: TAP, a browser, and a look at a page: pictures, overflow, axe, what the browser said.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const out = process.argv[2];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(out, { recursive: true });
export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
let n = 0, failed = 0;

export function tell(ok, name, why = '') {
  n++;
  failed += ok ? 0 : 1;
  console.log(`${ok ? 'ok' : 'not ok'} ${n} - ${name}${why ? `\n# ${String(why).replaceAll('\n', '\n# ')}` : ''}`);
}

export async function person(options = { javaScriptEnabled: false }) {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 }, ...options });
  const page = await context.newPage();
  page.said = [];
  page.on('console', (m) => page.said.push(m.text()));
  page.on('pageerror', (e) => page.said.push(String(e)));
  return page;
}

// axe is a script, and most pages have none: it looks at a copy, in a browser that runs scripts.
const inspector = await (await browser.newContext()).newPage();
async function look_with_axe(page, size, colorScheme) {
  const html = (await page.content()).replace('<script src="/passkey.js"></script>', '');
  await inspector.setViewportSize(size);
  await inspector.emulateMedia({ colorScheme });
  await inspector.route(page.url(), (r) => r.fulfill({ body: html, contentType: 'text/html; charset=utf-8' }));
  await inspector.goto(page.url());
  await inspector.unroute(page.url());
  await inspector.evaluate(axe);
  return inspector.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }).then((r) =>
    r.violations.map((v) => `${v.id}: ${v.nodes.map((m) => m.html).join(' ')}`)));
}

// What a page must look right in: a screen and a phone, light and dark.
const looks = [['light', { width: 1440, height: 900 }, 'light'], ['dark', { width: 1440, height: 900 }, 'dark'],
  ['phone', { width: 390, height: 844 }, 'light'], ['phone-dark', { width: 390, height: 844 }, 'dark']];

// A page that looks again by itself stays as it is until the next click.
export const still = (page) => page.route(page.url(), (r) => r.abort('aborted'), { times: 3 });

// The page as it is now, in each of them; then the checks.
export async function look(page, name, title, ...words) {
  const faults = [];
  const text = await page.innerText('body');
  const h1 = await page.innerText('h1');
  if (h1 !== title) faults.push(`its title is ${h1}, not ${title}`);
  for (const word of words) if (!text.includes(word)) faults.push(`it does not say ${word}: ${text}`);
  for (const [kind, size, scheme] of looks) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: `${out}/${name}-${kind}.png`, fullPage: true });
    if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) faults.push(`it overflows at ${size.width}`);
    const found = await look_with_axe(page, size, scheme);
    if (found.length) faults.push(`axe (${kind}): ${found.join('\n')}`);
  }
  await page.setViewportSize({ width: 320, height: 740 }); // 200 % zoom, and the smallest phones
  if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) faults.push('it overflows at 320');
  await page.setViewportSize({ width: 900, height: 700 });
  const scripts = await page.locator('script').evaluateAll((all) => all.map((s) => s.getAttribute('src')));
  if (scripts.some((s) => s !== '/passkey.js')) faults.push(`it has scripts: ${scripts}`);
  // A page that answers 4xx says so on the console; nothing else may.
  const said = page.said.filter((s) => !s.includes('the server responded with a status of'));
  if (said.length) faults.push(`the browser said ${said.join(' | ')}`);
  page.said.length = 0;
  tell(!faults.length, name, faults.join('; '));
}

export async function walk(steps) {
  try {
    await steps();
  } catch (e) {
    tell(false, 'the walk through the pages', e.stack);
  } finally {
    await browser.close();
  }
  console.log(`1..${n}`);
  process.exit(failed ? 1 : 0);
}
