// console_trouble.mjs OUT [ONLY] < JSON: the console when the server stops, is silent, refuses or is slow; when a session ends and a role changes
// under the page; with nothing in it; with hostile text in everything; and by keyboard alone, on a phone, zoomed, for screen readers, without motion.
import { accessible, browser, command, finish, must, open, out, overflow, person, test, until, watch, wellBehaved, world } from './console_kit.mjs';

const { fresh, full, hostile } = world;
const API = '/api/fairlead/v1';
const live = (page, words, within) => until(page, words => document.querySelector('.sidebar .live')?.textContent === words, words, within);
const cli = (w, ...words) => command(w, `/cli?words=${encodeURIComponent(words.join(' '))}`);
const picture = (page, name) => page.screenshot({ path: `${out}/${name}.png` });
/** What a page with a broken line may say: that requests failed. */
const calm = page => { page.faults = page.faults.filter(f => !/ERR_(CONNECTION|INTERNET|NETWORK|EMPTY|INCOMPLETE)/.test(f)); };

/** A call of the page's own session that another page would make. */
const write = (page, method, path, body) => page.evaluate(async ([method, path, body]) => {
	const me = await (await fetch('/api/fairlead/v1/me')).json();
	const r = await fetch(`/api/fairlead/v1${path}`, { method, headers: { 'Content-Type': 'application/json', 'X-Fairlead-CSRF': me.csrf }, body: JSON.stringify(body) });
	if (!r.ok) throw new Error(`${r.status} ${await r.text()}`);
	return r.json();
}, [method, path, body]);

// ---- people who wait ---------------------------------------------------------------------------------------------------------------

await test('a person who waits for approval: badge, view, button in the row; then they are in', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/users');
	await p.waitForSelector('.sidebar a[href$="/users"] .badge:has-text("1")');
	await p.click('.tabs a:has-text("Needs attention")');
	await p.waitForSelector('tr:has-text("Noor Aziz") .chip:has-text("Waits for approval")');
	await accessible(p, fault, 'waits');
	await picture(p, 'user-waits');
	await p.click('tr:has-text("Noor Aziz") a');
	await p.waitForSelector('.notice:has-text("Noor Aziz waits for approval.")');
	await p.goBack();
	await p.click('tr:has-text("Noor Aziz") button:has-text("Approve")');
	await p.waitForSelector('.toast:has-text("Approved Noor Aziz")');
	await p.waitForSelector('.sidebar a[href$="/users"] .badge', { state: 'detached' });
	await open(p, full, '/console/logs/changes');
	await p.waitForSelector('.log summary:has-text("Approved noor")');
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('what was refused is told: in the list, on the machine, with the reason', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/machines', 'a[data-row]');
	await command(full, '/refuse?name=nas-attic&key=lena');
	await open(p, full, '/console/machines?view=attention', 'a[data-row]');
	await p.waitForSelector('tr:has-text("nas-attic") .chip:has-text("Refused")');
	await accessible(p, fault, 'refused');
	await picture(p, 'machine-refused');
	await p.click('tr:has-text("nas-attic") a.button:has-text("Review")');
	await p.waitForSelector('.notice:has-text("Something it asked for was refused"):has-text("tag:nobody")');
	await picture(p, 'machine-refused-why');
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

// ---- the line, the server, the session, the role -------------------------------------------------------------------------------------

await test('the server stops under the page: it says so, keeps what it has, tries again by itself, and is live again', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/machines', 'a[data-row]');
	await live(p, 'Live');
	const rows = await p.locator('a[data-row]').count();
	await until(p, () => performance.getEntriesByType('resource').some(e => /\/Routes-/.test(e.name)), null, 15_000);	// pages are fetched when nothing else is to do
	await command(full, '/stop');
	try {
		await live(p, 'Reconnecting…');
		must(await p.locator('a[data-row]').count() === rows, 'the list went with the server');
		await p.click('.sidebar a:has-text("Routes")');
		const said = p.locator('main .notice', { hasText: 'Could not load routes.' });
		await said.waitFor();
		must(/The server cannot be reached\..*Trying again in \d+ s\./.test((await said.innerText()).replace(/\s+/g, ' ')), `it says: ${await said.innerText()}`);
		must(await said.locator('button:has-text("Try now")').isVisible(), 'it cannot be tried now');
		await accessible(p, fault, 'error');
		await picture(p, 'server-stopped');
		// What was never opened before, and is not fetched: its code is tried again, too.
		await p.click('.sidebar a:has-text("Access controls")');
		await p.waitForSelector('main .notice:has-text("The server cannot be reached")');
		await p.click('.sidebar a:has-text("Routes")');
		await said.waitFor();
	} finally { await command(full, '/start'); }
	await p.waitForSelector('main table td', { timeout: 40_000 });
	await p.locator('main .notice', { hasText: 'Could not load routes.' }).waitFor({ state: 'detached' });
	await live(p, 'Live', 20_000);
	await picture(p, 'server-started');
	calm(p);
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('the server is silent: reconnecting after 25 s, a notice after 40, and gone when it speaks', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/machines', 'a[data-row]');
	await live(p, 'Live');
	await command(full, '/pause');
	const began = Date.now();
	try {
		await live(p, 'Reconnecting…', 36_000);
		must(Date.now() - began > 9_000, 'it called a short silence a cut');
		const notice = p.locator('.banner .notice', { hasText: 'Live updates stopped' });
		await notice.waitFor({ timeout: 30_000 });
		must(/Live updates stopped \d+ s ago\. Trying again\. What you see may be old\./.test((await notice.innerText()).replace(/\s+/g, ' ')), `it says: ${await notice.innerText()}`);
		must(await notice.locator('button:has-text("Try now")').isVisible(), 'it cannot be tried now');
		must(await notice.getAttribute('role') === 'alert', 'a screen reader is not told');
		await accessible(p, fault, 'stopped');
		await picture(p, 'live-stopped');
	} finally { await command(full, '/resume'); }
	await p.click('.banner button:has-text("Try now")').catch(() => undefined);
	await live(p, 'Live', 30_000);
	must(await p.locator('.banner').count() === 0, 'the notice stays');
	calm(p);
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('this device goes offline and comes back: what changed meanwhile is there', async fault => {
	const p = await person(full, 'lena'), other = await person(full, 'lena');
	await open(p, full, '/console/machines?q=name:grafana', 'a[data-row]');
	await open(other, full, '/console/machines?q=name:grafana', 'a[data-row]');
	await live(p, 'Live');
	const id = await other.getAttribute('a[data-row]', 'data-row');
	await p.context().setOffline(true);
	await p.waitForSelector('.banner .notice:has-text("This device is offline.")');
	await accessible(p, fault, 'offline');
	await picture(p, 'offline');
	await write(other, 'POST', `/machines/${id}/rename`, { name: 'grafana-new' });
	await p.context().setOffline(false);
	await p.waitForSelector('a[data-row]:has-text("grafana-new")', { timeout: 20_000 });
	await live(p, 'Live', 20_000);
	must(await p.locator('.banner').count() === 0, 'the notice stays');
	await write(other, 'POST', `/machines/${id}/rename`, { name: 'grafana' });
	calm(p);
	await wellBehaved(p, fault, 'end');
	await p.context().close();
	await other.context().close();
});

await test('a session that is ended elsewhere: the page asks to sign in, and comes back to the same place', async fault => {
	const p = await person(full, 'tomasz');
	await open(p, full, '/console/machines?q=tag:prod', 'a[data-row]');
	await live(p, 'Live');
	await cli(full, 'sessions', 'end', '--user', 'tomasz');
	await p.waitForURL('**/login?to=*', { timeout: 15_000 });
	must(new URL(p.url()).searchParams.get('to') === '/console/machines?q=tag:prod', `it would come back to ${p.url()}`);
	await picture(p, 'session-ended');
	const { url } = await command(full, '/link?user=tomasz');
	await p.goto(url);
	await p.click('form button');
	await p.waitForURL('**/welcome?first=1');	// how one signs in from now on, and then back to where one was
	await p.click('main a[href="/console/machines?q=tag:prod"]');
	await p.waitForURL('**/console/machines?q=tag:prod');
	await p.waitForSelector('a[data-row]');
	calm(p);
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('a role that changes while the page is open: less is said and switched off, nothing at all leads away', async fault => {
	await cli(full, 'users', 'role', 'tomasz', 'it-admin');
	const p = await person(full, 'tomasz');
	await open(p, full, '/console/machines', 'a[data-row]');
	await live(p, 'Live');
	must(await p.locator('button:has-text("Add machine")').count() === 1 && await p.getAttribute('button:has-text("Add machine")', 'aria-disabled') !== 'true', 'an IT admin cannot add a machine');
	await cli(full, 'users', 'role', 'tomasz', 'auditor');
	await p.waitForSelector('.banner .notice:has-text("Your role is now auditor.")', { timeout: 15_000 });
	await until(p, () => document.querySelector('.page-head button').getAttribute('aria-disabled') === 'true');
	must(/auditor/.test(await p.getAttribute('button:has-text("Add machine")', 'title')), 'it does not say why');
	await accessible(p, fault, 'auditor');
	await picture(p, 'role-fell');
	await p.click('.banner button[aria-label="Close"]');
	await p.waitForSelector('.banner', { state: 'detached' });
	await cli(full, 'users', 'role', 'tomasz', 'member');
	await p.waitForURL(/\/(my|login)\b/, { timeout: 15_000 });
	await cli(full, 'users', 'role', 'tomasz', 'network-admin');
	await p.context().close();
});

await test('two tabs: one follows the other, and stays live when the one that listens closes', async fault => {
	const one = await person(full, 'lena'), context = one.context(), two = await context.newPage();
	await watch(two);
	await open(one, full, '/console/dns');
	await open(two, full, '/console/dns');
	await live(two, 'Live');
	await write(one, 'PUT', '/settings/dns.search_domains', { value: ['two-tabs.example'] });
	for (const p of [one, two]) await p.waitForSelector('.chip:has-text("two-tabs.example")');
	await one.close();
	await write(two, 'PUT', '/settings/dns.search_domains', { value: [] });
	await two.waitForSelector('.chip:has-text("two-tabs.example")', { state: 'detached', timeout: 15_000 });
	await live(two, 'Live');
	await wellBehaved(two, fault, 'end');
	await context.close();
});

// ---- loading, refused, failing, empty ------------------------------------------------------------------------------------------------------

await test('what loads slowly: nothing at first, then its shape; what fails: words, a request ID to copy, and a way to go on', async fault => {
	const p = await person(full, 'lena');
	let answer = route => route.continue(), asked = 0;
	await p.route(`**${API}/routes`, route => { asked++; return answer(route); });
	answer = async route => { await new Promise(done => setTimeout(done, 1500)); await route.continue(); };
	p.base = full.base;
	await p.goto(`${full.base}/console/routes`);
	await p.waitForSelector('.skeletons[role=status]');
	must(await p.evaluate(() => getComputedStyle(document.querySelector('.skeletons')).opacity === '0' || document.querySelector('.skeletons').getAnimations({ subtree: true }).length > 0 || performance.now() > 400), 'the skeleton flashes at once');
	await accessible(p, fault, 'skeleton');
	await p.waitForTimeout(400);
	await picture(p, 'loading');
	await p.waitForSelector('main table td');

	answer = route => route.fulfill({ status: 503, headers: { 'Retry-After': '2', 'X-Request-Id': '01TESTREQUEST' }, json: { code: 14, message: 'the server is starting', status: 503 } });
	await p.goto(`${full.base}/console/routes`);
	const said = p.locator('main .notice', { hasText: 'Could not load routes.' });
	await said.waitFor();
	const words = (await said.innerText()).replace(/\s+/g, ' ');
	must(/the server is starting Trying again in [12] s\./i.test(words) || /the server is starting\. Trying again in [12] s\./i.test(words), `it says: ${words}`);
	must(words.includes('01TESTREQUEST') && await said.locator('button[aria-label="Copy request ID"]').isVisible(), `no request ID to copy: ${words}`);
	await accessible(p, fault, 'failed');
	await picture(p, 'failed');
	const before = asked;
	answer = route => route.continue();
	await said.locator('button:has-text("Try now")').click();
	await p.waitForSelector('main table td');
	must(asked === before + 1 && await said.count() === 0, 'it did not try once, at once');

	// What may not be read, and a write that is refused.
	answer = route => route.fulfill({ status: 403, json: { code: 7, message: 'your role may not read routes', status: 403 } });
	await p.goto(`${full.base}/console/routes`);
	await p.waitForSelector('main .notice:has-text("You may not see routes.")');
	must(await p.locator('main .notice button:has-text("Try now")').count() === 0, 'what is forbidden is tried again');
	await picture(p, 'forbidden');
	answer = route => route.continue();
	await p.route(`**${API}/machines/*/rename`, route => route.fulfill({ status: 500, headers: { 'X-Request-Id': '01TESTWRITE' }, json: { code: 13, message: 'Not saved: the disk is full.', status: 500 } }));
	await open(p, full, '/console/machines?q=name:grafana', 'a[data-row]');
	await p.focus('a[data-row]');
	await p.keyboard.press('r');
	await p.fill('dialog input', 'grafana-2');
	await p.click('dialog button[type=submit]');
	await p.waitForSelector('dialog .notice[role=alert]:has-text("the disk is full"):has-text("01TESTWRITE")');
	must(await p.inputValue('dialog input') === 'grafana-2', 'what was typed is gone');
	await accessible(p, fault, 'not saved');
	await picture(p, 'not-saved');
	await p.keyboard.press('Escape');
	// The console itself, and the list, when the first answer fails.
	let failing = true;
	await p.route(`**${API}/me`, route => failing ? route.fulfill({ status: 503, headers: { 'Retry-After': '1' }, json: { message: 'the server is starting' } }) : route.continue());
	await p.goto(`${full.base}/console/machines`);
	await p.waitForSelector('h1:has-text("The console could not start.")');
	await p.waitForSelector('.notice:has-text("Trying again in")');
	await picture(p, 'not-started');
	failing = false;
	await p.waitForSelector('a[data-row]', { timeout: 10_000 });
	await p.unroute(`**${API}/me`);
	failing = true;
	await p.route(`**${API}/machines`, route => failing ? route.fulfill({ status: 503, json: { message: 'the server is starting' } }) : route.continue());
	await p.goto(`${full.base}/console/machines`);
	await p.waitForSelector('.notice:has-text("Could not load the machines.")');
	failing = false;
	await p.waitForSelector('a[data-row]', { timeout: 10_000 });
	p.faults = p.faults.filter(f => !/preload/.test(f));
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('with nothing in it: each page says what belongs there, and how to begin', async fault => {
	const p = await person(fresh, 'lena');
	for (const [path, words] of [['/machines', 'Waiting for the machine'], ['/users?view=attention', 'Nobody'], ['/users?view=invites', 'No invite is open'], ['/keys/auth', 'No auth keys'], ['/keys/api', 'No API keys'], ['/keys/oauth', 'No OAuth clients'], ['/routes', 'No subnet routes'],
		['/routes?view=exit', 'No exit nodes'], ['/routes?view=attention', 'Nothing needs attention'], ['/dns', 'No records'], ['/access/history', 'No version yet'], ['/access/tests', 'No tests'], ['/logs/connections', 'Nothing'], ['/settings/webhooks', 'No webhooks'], ['/settings/backup', 'No backups yet']]) {
		await open(p, fresh, `/console${path}`);
		const text = await p.innerText('main');
		if (!text.includes(words)) fault(`${path} does not say “${words}”: ${text.replace(/\s+/g, ' ').slice(0, 200)}`);
		await accessible(p, fault, path);
		await picture(p, `empty${path.replace(/\W+/g, '-')}`);
	}
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('backups: made, verified, downloaded after a warning, removed', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/settings/backup');
	await p.click('button:has-text("Back up now")');
	await p.waitForSelector('.toast:has-text("fairlead-")');
	await p.waitForSelector('main table code:has-text("fairlead-")');
	const menu = async item => { await p.click('main table button[aria-haspopup=menu]'); await p.click(`[role=menuitem]:has-text("${item}")`); };
	await menu('Verify now');
	await p.waitForSelector('main table .chip:has-text("Whole")', { timeout: 20_000 });
	await menu('Download…');
	await p.waitForSelector('dialog:has-text("private keys")');
	await accessible(p, fault, 'download');
	await picture(p, 'backup-download');
	const [download] = await Promise.all([p.waitForEvent('download'), p.click('dialog footer button:has-text("Download"), dialog .toolbar button:has-text("Download")')]);
	must(/^fairlead-\d{8}-\d{6}\.db$/.test(download.suggestedFilename()), `it is called ${download.suggestedFilename()}`);
	const chunks = [];
	for await (const c of await download.createReadStream()) chunks.push(c);
	must(Buffer.concat(chunks).toString('latin1', 0, 15) === 'SQLite format 3', 'it is no database');
	await accessible(p, fault, 'backups');
	await menu('Remove…');
	await p.click('dialog button:has-text("Remove it")');
	await p.waitForSelector('main :text("No backups yet")');
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

// ---- a phone --------------------------------------------------------------------------------------------------------------------------------

await test('on a phone: the policy is its rules; one is changed by a form, one is added and removed, and the draft is saved; a machine is approved', async fault => {
	const p = await person(full, 'lena', { viewport: { width: 390, height: 844 }, hasTouch: true });
	await open(p, full, '/console/access', '.rules li');
	must(!await p.locator('.cm-content').isVisible(), 'the text comes first');
	await accessible(p, fault, 'rules');
	await picture(p, 'phone-rules');
	const contractors = p.locator('.rules li', { hasText: 'group:contractors' });
	must(/group:contractors.*may reach.*tag:staging.*tcp:443/.test((await contractors.innerText()).replace(/\s+/g, ' ')), `a rule says: ${await contractors.innerText()}`);
	await contractors.locator('button:has-text("Change")').tap();
	await p.waitForSelector('dialog[open]');
	await accessible(p, fault, 'form');
	await picture(p, 'phone-rule-form');
	await p.fill('dialog input >> nth=2', 'tcp:443, tcp:8443');
	await p.tap('dialog button[type=submit]');
	await p.waitForSelector('.rules li:has-text("tcp:8443")');
	await p.waitForSelector('.changes [data-change=gain]:has-text("8443")', { timeout: 8000 });
	const n = await p.locator('.rules li').count();
	await p.tap('button:has-text("Add a rule")');
	await p.fill('dialog input >> nth=0', 'tag:ops');
	await p.fill('dialog input >> nth=1', 'tag:ghost');
	await p.tap('dialog button[type=submit]');
	await p.waitForSelector('.rules li:has-text("tag:ops") .wrong:has-text("tag:ghost")', { timeout: 8000 });
	must(await p.locator('.rules li').count() === n + 1, 'the rule is not there');
	await p.locator('.rules li', { hasText: 'tag:ghost' }).locator('button:has-text("Remove")').tap();
	await until(p, n => document.querySelectorAll('.rules li').length === n, n);
	await p.waitForSelector('.bar-end:has-text("No errors")', { timeout: 8000 });
	const text = await p.evaluate(async () => (await (await fetch('/api/fairlead/v1/policy')).json()).policy);
	await p.tap('button:has-text("Review and save")');
	await p.waitForSelector('dialog[open]');
	must(await overflow(p) <= 0, 'the review is wider than the phone');
	await picture(p, 'phone-review');
	await p.tap('dialog button:has-text("Save version")');
	await p.waitForSelector('.toast:has-text("Saved version")', { timeout: 8000 });
	const now = await p.evaluate(async () => (await (await fetch('/api/fairlead/v1/policy')).json()).policy);
	must(now === text.replace('"ip": ["tcp:443"]}', '"ip": ["tcp:443", "tcp:8443"]}'), `more than the one place changed: ${now}`);
	await p.tap('.toast button:has-text("Undo")');
	await p.tap('.segmented button:has-text("Text")');
	await p.waitForSelector('.cm-content:visible');
	// An approval with a thumb.
	await open(p, full, '/console/machines', 'a[data-row]');
	const button = p.locator('tr:has-text("build-runner-7") button:has-text("Approve")'), box = await button.boundingBox();
	must(box.height >= 36, `the button is ${box.height} px high`);
	await button.tap();
	await p.waitForSelector('.toast:has-text("Approved build-runner-7")');
	await p.tap('.toast button:has-text("Undo")');
	await p.waitForSelector('tr:has-text("build-runner-7") button:has-text("Approve")');
	await p.tap('.bottom-bar button:has-text("More")');
	await p.waitForSelector('.more-sheet a:has-text("Relays")');
	await accessible(p, fault, 'more');
	await picture(p, 'phone-more');
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

// ---- hostile text, and a policy that tries to be broken ----------------------------------------------------------------------------------------

await test('text that others choose is text: nothing of it runs, on any page', async fault => {
	const p = await person(hostile, 'lena');
	await p.addInitScript(() => { window.ran = n => { (window.hits ??= []).push(n); }; });
	p.on('dialog', d => { fault(`a dialog: ${d.message()}`); void d.dismiss(); });
	await open(p, hostile, '/console/machines?q=evil', 'a[data-row]');
	const id = await p.getAttribute('a[data-row]', 'data-row'), users = (await p.evaluate(async () => (await (await fetch('/api/fairlead/v1/users')).json()).users)), mallory = users.find(u => u.name === 'mallory').id;
	for (const path of ['/machines?q=evil', `/machines?peek=${id}`, `/machines/${id}`, '/users', `/users/${mallory}`, '/keys/auth', '/keys/api', '/access', '/access/history', '/access/reach?of=evil-host', '/access/reach?from=%3Cimg%20src%3Dx%20onerror%3Dran(3)%3E&to=%22%3E%3Cscript%3E&port=1',
		'/logs/changes?span=all', '/logs/connections', '/settings/general', '/dns?try=%3Cimg%20src=x%20onerror=ran(4)%3E', '/machines?q=%3Cimg%20src=x%20onerror=ran(5)%3E', '/users?q=%3Csvg%20onload=ran(6)%3E', '/machines/%3Cscript%3Eran(7)%3C%2Fscript%3E', '/t/%3Cimg%20src=x%20onerror=ran(8)%3E', '/machines?sort=__proto__&view=constructor', '/keys/__proto__', '/relays/constructor', '/settings/__proto__', '/logs/toString']) {
		await open(p, hostile, `/console${path}`);
		await p.waitForTimeout(120);
		for (const d of await p.locator('.log details summary').all().then(all => all.slice(0, 6))) await d.click({ position: { x: 10, y: 10 } });
		if (await p.evaluate(() => window.hits?.length)) fault(`${path}: it ran ${await p.evaluate(() => window.hits)}`);
		if (await p.locator('main img, main script, main iframe').count()) fault(`${path}: an element came from text`);
		await wellBehaved(p, fault, path);
	}
	await open(p, hostile, `/console/users/${mallory}`);
	must((await p.innerText('h1')).includes('<img src=x'), 'the name is not shown as it is');
	await picture(p, 'hostile-user');
	await p.keyboard.press('Control+k');
	await p.keyboard.type('img src');
	await p.waitForSelector('.palette [role=option]');
	must(!await p.evaluate(() => window.hits?.length), 'the palette ran it');
	await p.context().close();
});

await test('the content security policy, by a script that got in all the same: nothing leaves, nothing is loaded, no policy is made', async () => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/machines');
	const head = await p.evaluate(async () => (await fetch('/console/machines')).headers.get('content-security-policy'));
	for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) must(head.includes(part), `the policy lacks ${part}: ${head}`);
	for (const bad of ['unsafe-inline', 'unsafe-eval', 'unsafe-hashes', 'http:', 'https:', '*']) must(!head.includes(bad), `the policy has ${bad}`);
	const reached = [];
	const { createServer } = await import('node:http');
	const away = createServer((q, r) => { reached.push(q.url); r.setHeader('Access-Control-Allow-Origin', '*'); r.end('ran("elsewhere")'); });
	await new Promise(done => away.listen(0, '127.0.0.1', done));
	const ran = await p.evaluate(async there => {
		const ran = [], wait = ms => new Promise(done => setTimeout(done, ms));
		window.ran = name => ran.push(name);
		const el = (tag, set) => { const e = document.createElement(tag); Object.assign(e, set); document.body.append(e); return e; };
		const tries = [
			() => el('script', { src: `${there}/script` }), () => el('img', { src: `${there}/img` }), () => el('link', { rel: 'stylesheet', href: `${there}/css` }), () => el('link', { rel: 'preload', as: 'script', href: `${there}/preload` }), () => el('link', { rel: 'prefetch', href: `${there}/prefetch` }),
			() => el('iframe', { src: `${there}/frame` }), () => el('iframe', { srcdoc: '<script>parent.ran("srcdoc")</script>' }), () => el('object', { data: `${there}/object` }), () => el('embed', { src: `${there}/embed` }), () => el('video', { src: `${there}/video` }), () => el('audio', { src: `${there}/audio` }),
			() => { const f = el('form', { action: `${there}/form`, method: 'post' }); f.submit(); }, () => el('base', { href: `${there}/base/` }), () => { const a = el('a', { href: 'javascript:ran("javascript:")' }); a.click(); },
			() => fetch(`${there}/fetch`, { mode: 'no-cors' }).catch(() => 0), () => navigator.sendBeacon(`${there}/beacon`, 'x'), () => new WebSocket(`${there.replace('http', 'ws')}/ws`), () => new EventSource(`${there}/sse`), () => { const x = new XMLHttpRequest(); x.open('GET', `${there}/xhr`); x.send(); },
			() => import(`${there}/import`).catch(() => 0), () => import('data:text/javascript,ran("data import")').catch(() => 0), () => new Worker(URL.createObjectURL(new Blob([`fetch("${there}/worker")`]))), () => new Function('ran("Function")')(), () => setTimeout('ran("timeout text")'),
			() => { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=ran("html")>'); }, () => { document.write('<script>ran("write")<\/script>'); }, () => { new DOMParser().parseFromString('<b>x</b>', 'text/html'); ran.push('parser'); }, () => { document.createRange().createContextualFragment('<b>x</b>'); ran.push('fragment'); },
			() => { const m = el('meta', { httpEquiv: 'Content-Security-Policy', content: "script-src * 'unsafe-inline'" }); m.remove(); document.head.append(m); const s = document.createElement('script'); try { s.text = 'ran("after meta")'; } catch { s.append('ran("after meta")'); } document.head.append(s); },
			() => { const t = el('svg', {}); t.setAttribute('onload', 'ran("svg onload")'); }, () => navigator.serviceWorker?.register('data:text/javascript,1').then(() => ran.push('service worker'), () => 0),
		];
		for (const t of tries) { try { t(); } catch { /* stopped */ } await wait(40); }
		await wait(400);
		return ran;
	}, `http://127.0.0.1:${away.address().port}`);
	must(p.url().startsWith(full.base), `it was led to ${p.url()}`);
	away.close();
	await p.context().close();
	must(!ran.length, `ran: ${ran}`);
	must(!reached.length, `left the page: ${reached}`);
});

await test('another site can neither frame the console nor act through it', async () => {
	const p = await person(full, 'lena'), tries = [];
	const { createServer } = await import('node:http');
	const site = createServer((q, r) => { r.setHeader('Content-Type', 'text/html'); r.end(`<iframe src="${full.base}/console/machines"></iframe><form action="${full.base}${API}/me/sign-out" method="post" enctype="text/plain"><input name='{"a":"' value='"}'></form>`); });
	await new Promise(done => site.listen(0, '127.0.0.1', done));
	const page = await p.context().newPage();
	await page.goto(`http://localhost:${site.address().port}/`);
	await page.waitForTimeout(500);
	for (const f of page.frames().slice(1)) if (await f.evaluate(() => document.querySelector('.shell, #app') !== null).catch(() => false)) tries.push(`framed ${f.url()}`);
	await page.evaluate(() => document.querySelector('form').submit());
	await page.waitForTimeout(500);
	site.close();
	await page.close();
	await open(p, full, '/console/machines', 'a[data-row]');	// still signed in
	await p.context().close();
	must(!tries.length, tries.join());
});

// ---- keyboard, zoom, motion, screen readers --------------------------------------------------------------------------------------------------

const PAGES = ['/machines', '/users', '/access', '/access/reach', '/access/tests', '/access/history', '/keys/auth', '/routes', '/dns', '/relays', '/logs/changes', '/settings/general', '/settings/approval', '/settings/backup', '/settings/health'];

await test('by keyboard alone: filter, move, look, select, rename, palette, menu; the focus is always seen and comes back', async fault => {
	const p = await person(full, 'lena');
	const focus = () => p.evaluate(() => { const e = document.activeElement; return `${e.tagName.toLowerCase()} ${(e.getAttribute('aria-label') ?? e.textContent ?? '').trim().slice(0, 40)}`; });
	await open(p, full, '/console/machines', 'a[data-row]');
	await p.keyboard.press('Tab');
	must((await focus()).includes('Skip to content'), `Tab leads first to ${await focus()}`);
	await p.keyboard.press('Enter');
	must(await p.evaluate(() => document.activeElement.id) === 'content', 'the skip link does not skip');
	await p.keyboard.press('/');
	await p.keyboard.type('tag:prod');
	await until(p, () => document.querySelectorAll('a[data-row]').length === 5);
	await p.keyboard.press('Enter');
	await until(p, () => document.activeElement?.dataset?.row);
	await p.keyboard.press('j');
	await until(p, () => document.activeElement?.textContent === 'api-prod-2');
	await p.keyboard.press('x');
	await p.keyboard.press('j');
	await p.keyboard.press('x');
	await p.waitForSelector('.selection:has-text("2 selected")');
	await p.keyboard.press('Escape');
	await p.waitForSelector('.selection', { state: 'detached' });
	await p.keyboard.press('Space');
	await p.waitForSelector('aside.drawer');
	await p.keyboard.press('j');
	await p.waitForSelector('aside.drawer h2:has-text("db-primary")');
	await p.keyboard.press('Escape');
	await p.waitForSelector('aside.drawer', { state: 'detached' });
	await p.keyboard.press('r');
	await p.waitForSelector('dialog[open] input');
	must((await focus()).startsWith('input'), `the dialog begins at ${await focus()}`);
	await p.keyboard.press('Escape');
	await p.waitForSelector('dialog', { state: 'detached' });
	must((await focus()) === 'a db-primary', `after the dialog the focus is on ${await focus()}`);
	await p.keyboard.press('Control+k');
	await p.keyboard.type('who can reach db-primary');
	await p.waitForSelector('.palette [role=option][aria-selected=true]:has-text("Who can reach db-primary?")');
	await p.keyboard.press('Enter');
	await p.waitForURL('**/access/reach?of=db-primary**');
	await p.keyboard.press('g');
	await p.keyboard.press('k');
	await p.waitForURL('**/keys/auth');
	await until(p, () => document.activeElement?.tagName === 'H1' && document.activeElement.textContent === 'Keys');
	await p.keyboard.press('?');
	await p.waitForSelector('dialog[open]:has-text("Single-letter keys")');
	await accessible(p, fault, 'keys');
	await p.keyboard.press('Escape');
	await open(p, full, '/console/machines?q=name:grafana', 'a[data-row]');
	await p.focus('tr button[aria-haspopup=menu]');
	await p.keyboard.press('ArrowDown');
	await p.waitForSelector('[role=menu]');
	await p.keyboard.press('End');
	must((await focus()).includes('Delete'), `End leads to ${await focus()}`);
	await p.keyboard.press('r');
	must((await focus()).includes('Rename'), `r leads to ${await focus()}`);
	await p.keyboard.press('Escape');
	must((await focus()).includes('Actions for grafana'), `after the menu the focus is on ${await focus()}`);
	// Each stop of Tab on each page: it can be seen, and nothing covers it.
	for (const [size, viewport] of [['wide', { width: 1440, height: 900 }], ['phone', { width: 390, height: 844 }]]) {
		await p.setViewportSize(viewport);
		for (const path of PAGES) {
			await open(p, full, `/console${path}`);
			await p.waitForTimeout(100);
			for (let i = 0; i < 28; i++) {
				await p.keyboard.press('Tab');
				const wrong = await p.evaluate(() => {
					let e = document.activeElement;
					while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
					if (!e || e === document.body) return '';
					const box = e.getBoundingClientRect(), style = getComputedStyle(e), name = `${e.tagName.toLowerCase()}.${e.className} “${(e.getAttribute('aria-label') ?? e.textContent ?? '').trim().slice(0, 30)}”`;
					if (e.closest('.cm-editor')) return '';
					if (box.width < 1 || box.height < 1) return `${name} has the focus and no size`;
					if (box.bottom <= 0 || box.top >= innerHeight) return `${name} has the focus out of sight`;
					if (style.outlineStyle === 'none' && style.boxShadow === 'none' && e.matches(':focus-visible')) return `${name}: its focus cannot be seen`;
					const at = document.elementFromPoint(Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1), Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1));
					return at && !e.contains(at) && !at.contains(e) && !at.closest('label')?.contains(e) && at.closest('.bottom-bar, .top-bar, .banner') ? `${name} has the focus under ${at.className}` : '';
				});
				if (wrong) fault(`${size} ${path}: ${wrong}`);
			}
		}
	}
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await test('at 200 % and on 320 px nothing is lost sideways; with more contrast and forced colours it can be read', async fault => {
	const p = await person(full, 'lena', { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 });
	for (const [size, viewport] of [['200 %', { width: 720, height: 450 }], ['320 px', { width: 320, height: 640 }]]) {
		await p.setViewportSize(viewport);
		for (const path of PAGES) {
			await open(p, full, `/console${path}`);
			await p.waitForTimeout(80);
			const wide = await overflow(p);
			if (wide > 0) fault(`${size} ${path}: ${wide} px wider than the window`);
			if (path === '/machines' || path === '/access/reach') await picture(p, `${size.replace(/\W+/g, '')}${path.replace(/\W+/g, '-')}`);
		}
	}
	await p.setViewportSize({ width: 1440, height: 900 });
	await p.emulateMedia({ forcedColors: 'active' });
	await open(p, full, '/console/machines', 'a[data-row]');
	must(await p.evaluate(() => { const dot = getComputedStyle(document.querySelector('tr .dot[data-state=offline]') ?? document.querySelector('tr .dot')); return dot.borderStyle !== 'none' || dot.forcedColorAdjust === 'none' || dot.outlineStyle !== 'none'; }), 'dots go with forced colours');
	await picture(p, 'forced-colours');
	await p.context().close();
});

await test('with reduced motion nothing moves', async () => {
	const p = await person(full, 'lena', { reducedMotion: 'reduce' });
	await open(p, full, '/console/machines', 'a[data-row]');
	await p.click('button:has-text("Add machine")');
	await p.waitForSelector('dialog[open]');
	const moving = await p.evaluate(() => document.getAnimations().filter(a => a.playState === 'running' && (a.effect?.getComputedTiming().duration ?? 0) > 20).map(a => `${a.animationName ?? a.transitionProperty} of ${a.effect.target?.className}`));
	await p.context().close();
	must(!moving.length, `it moves: ${moving}`);
});

await test('a screen reader hears: counts, toasts, joined machines; every control has a name', async fault => {
	const p = await person(full, 'lena');
	await open(p, full, '/console/machines', 'a[data-row]');
	const polite = p.locator('[aria-live=polite].visually-hidden');
	await p.fill('main input[type=search]', 'tag:prod');
	await until(p, () => [...document.querySelectorAll('[aria-live=polite]')].some(e => e.textContent === '5 machines'), null, 12_000);
	must(await polite.count() === 1, 'there is no quiet voice');
	must(await p.getAttribute('table.machines', 'aria-rowcount') === '6', `the table says it has ${await p.getAttribute('table.machines', 'aria-rowcount')} rows`);
	await p.fill('main input[type=search]', 'name:grafana');
	await p.focus('a[data-row]');
	await p.keyboard.press('r');
	await p.fill('dialog input', 'grafana-heard');
	await p.keyboard.press('Enter');
	await p.waitForSelector('[role=status]:has-text("Renamed")');
	await p.click('.toast button:has-text("Undo")');
	await p.waitForSelector('a[data-row]:text-is("grafana")');
	for (const path of PAGES) {
		await open(p, full, `/console${path}`);
		const nameless = await p.evaluate(() => [...document.querySelectorAll('button, a[href], input, select, textarea, summary')].filter(e => e.getClientRects().length > 0).filter(e => {
			const labels = e.labels ? [...e.labels].map(l => l.textContent).join('') : '';
			return !((e.getAttribute('aria-label') ?? '') + labels + (e.textContent ?? '') + (e.getAttribute('title') ?? '')).trim();
		}).map(e => e.outerHTML.slice(0, 100)));
		for (const n of nameless) fault(`${path}: no name: ${n}`);
		const heads = await p.evaluate(() => ({ h1: document.querySelectorAll('h1').length, main: document.querySelectorAll('main').length, nav: [...document.querySelectorAll('nav')].filter(n => n.getClientRects().length && !n.getAttribute('aria-label')).length }));
		if (heads.h1 !== 1 || heads.main !== 1 || heads.nav) fault(`${path}: ${JSON.stringify(heads)}`);
	}
	await wellBehaved(p, fault, 'end');
	await p.context().close();
});

await finish();
