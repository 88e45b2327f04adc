// console_kit.mjs: what the console's browser tests share: TAP, a signed-in browser, a look at a page: pictures, axe, overflow, what the browser
// said and what it refused. A program that uses it is called with OUT [ONLY], and with {name: {base, commands}} on its input.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const out = process.argv[2];
const only = process.argv[3] ?? '';
export const world = JSON.parse(readFileSync(0, 'utf8'));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(out, { recursive: true });
export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
let n = 0, failed = 0;

export async function test(name, run) {
	if (only && !new RegExp(only).test(name)) return;
	const faults = [];
	try { await run(fault => faults.push(fault)); } catch (e) { faults.push(String(e.stack ?? e).split('\n').slice(0, 6).join(' | ')); }
	n++;
	if (faults.length) failed++;
	console.log(`${faults.length ? 'not ok' : 'ok'} ${n} - ${name}${faults.map(f => `\n# ${f}`).join('')}`);
}

export const command = async (w, path) => {
	const r = await fetch(w.commands + path, { method: 'POST' }), body = await r.json();
	if (!r.ok) throw new Error(`${path}: ${JSON.stringify(body)}`);
	return body;
};
/** Until `look` says yes in the page. Playwright's own waitForFunction evaluates strings there, which the policy forbids. */
export async function until(page, look, arg, within = 8000) {
	for (const end = Date.now() + within; !await page.evaluate(look, arg);) {
		if (Date.now() > end) throw new Error(`not within ${within} ms: ${look}`);
		await new Promise(done => setTimeout(done, 40));
	}
}
export const must = (ok, words) => { if (!ok) throw new Error(words); };

/** A signed-in browser of somebody's. page.faults collects what it says and what it refuses. */
export async function person(w, user, more = {}) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...more });
	const { url } = await command(w, `/link?user=${user}`);
	const page = await context.newPage();
	await page.goto(url);
	await page.click('form button');
	await page.waitForURL(url => !url.pathname.startsWith('/welcome/'));
	await watch(page);
	return page;
}
export async function watch(page) {
	page.faults = [];
	// A request that is answered 4xx is the page's business, and said by it; the browser logs it all the same.
	page.on('console', m => { if (['error', 'warning'].includes(m.type()) && !m.text().startsWith('Failed to load resource')) page.faults.push(`console: ${m.text()}`); });
	page.on('pageerror', e => page.faults.push(`error: ${e.stack}`));
	page.on('request', r => { const u = new URL(r.url()); if (u.protocol !== 'data:' && u.origin !== new URL(page.base ?? r.url()).origin) page.faults.push(`asks elsewhere: ${r.url()}`); });
	await page.addInitScript(() => {
		window.broken = [];
		document.addEventListener('securitypolicyviolation', e => window.broken.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
	});
}
export const open = async (page, w, path, ready = 'main h1') => {
	page.base = w.base;
	await page.goto(w.base + path);
	await page.waitForSelector(ready);
	await until(page, () => !document.querySelector('.skeletons'));
};
export async function wellBehaved(page, fault, where) {
	for (const f of page.faults.splice(0)) fault(`${where}: ${f}`);
	for (const f of await page.evaluate(() => window.broken.splice(0))) fault(`${where}: CSP ${f}`);
}
export async function accessible(page, fault, where) {
	await page.evaluate(axe);
	const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] }));
	for (const v of found.violations) fault(`${where}: axe ${v.id}: ${v.nodes.slice(0, 2).map(x => `${x.target} ${x.failureSummary.split('\n')[1]?.trim() ?? ''}`).join('; ')}`);
}
export const overflow = page => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

export const SIZES = [['1440', { width: 1440, height: 900 }, 'light'], ['1440-dark', { width: 1440, height: 900 }, 'dark'], ['1024', { width: 1024, height: 768 }, 'light'], ['phone', { width: 390, height: 844 }, 'light'], ['phone-dark', { width: 390, height: 844 }, 'dark']].filter(s => !process.env.SIZES || process.env.SIZES.split(',').includes(s[0]));
const AXE_AT = new Set(['1440', '1440-dark', 'phone']);

/** Every size: picture, faults, axe, overflow. */
export async function everySize(page, w, path, name, fault, prepare) {
	for (const [size, viewport, scheme] of SIZES) {
		await page.setViewportSize(viewport);
		await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
		await open(page, w, path);
		await prepare?.(page);
		await page.waitForTimeout(150);
		await page.screenshot({ path: `${out}/${name}-${size}.png`, fullPage: size.startsWith('phone') ? false : true });
		await wellBehaved(page, fault, size);
		if (AXE_AT.has(size)) await accessible(page, fault, size);
		const wide = await overflow(page);
		if (wide > 0) fault(`${size}: ${wide} px wider than the window`);
	}
	await page.setViewportSize({ width: 1440, height: 900 });
	await page.emulateMedia({ colorScheme: 'light' });
}

export async function finish() {
	await browser.close();
	console.log(`1..${n}`);
	process.exit(failed ? 1 : 0);
}
