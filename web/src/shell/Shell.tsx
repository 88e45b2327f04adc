import { computed, effect } from '@preact/signals';
import { useEffect, useReducer, useRef, useState } from 'preact/hooks';
import { Avatar, Button, Dot, Icon, Mark, Notice, Skeletons } from '../components/basics';
import { Dialogs, Failed, MenuButton, Toasts, type MenuItem } from '../components/overlays';
import { ApiError, post, leave } from '../data/api';
import { live, silentSince, tryNow } from '../data/live';
import { theme, type Theme } from '../data/prefs';
import { href, match, place } from '../data/router';
import { urgency } from '../data/machines';
import { attention, machineList, machines, may, me, news } from '../data/store';
import { now } from '../data/time';
import { text } from '../text/shell';
import { commandKey, helpOpen, paletteOpen } from './keys';
import { NAV, ROUTES, type NavItem, type Page } from './nav';
import { Help, Palette } from './Palette';
import { Announcer } from './announce';

const exists = (item: NavItem) => ROUTES.some(route => match(route.pattern, item.path));
const visible = (item: NavItem) => exists(item) && (may(item.scope, 'read') || (item.under === '/keys' && (may('oauth_keys', 'read') || may('api_access_tokens', 'read'))) || (item.under === '/settings' && may('account_settings', 'read')));
const current = (item: NavItem) => place.value.path === item.under || place.value.path.startsWith(`${item.under}/`);

/** Machines are counted as their list does: one that offers a route needs attention there, and its route under Routes. */
const machinesAsking = computed(() => attention.value && machineList.value.filter(m => urgency(m, now.value) > 0).length);
const attentionOf = (item: NavItem): number => item.area === 'machines' && machines.value.loaded ? machinesAsking.value : item.area ? attention.value.counts[item.area] : 0;

/** The editor is large: it is fetched when somebody nears the place that needs it. */
const fetchEditor = () => { void Promise.all([import('../pages/access/Policy'), import('../pages/access/editor')]).catch(() => { /* asked for again when it is opened */ }); };
function NavLink({ item }: { item: NavItem }) {
	const n = attentionOf(item);
	return (
		<a href={href(item.path)} aria-current={current(item) ? 'page' : undefined} title={item.text} onPointerEnter={item.under === '/access' ? fetchEditor : undefined} onFocus={item.under === '/access' ? fetchEditor : undefined}>
			<Icon name={item.icon} /><span>{item.text}</span>{n > 0 && <span class="badge"><span class="visually-hidden">{text.needsAttention}</span>{n > 999 ? '999+' : n}</span>}
		</a>
	);
}

const THEMES: [Theme, string][] = [['system', text.themeSystem], ['light', text.themeLight], ['dark', text.themeDark]];
const accountItems = (): MenuItem[] => [
	{ text: text.myDevices, icon: 'laptop', run: () => leave('/my') },
	{ text: text.allKeys, icon: 'bolt', key: '?', run: () => { helpOpen.value = true; } },
	'line',
	...THEMES.map(([value, words]) => ({ text: words, checked: theme.value === value, run: () => { theme.value = value; } })),
	'line',
	{ text: text.signOut, icon: 'exit', run: () => void post('/me/sign-out').then(() => leave('/login'), () => leave('/login')) },
];

function Live() {
	const state = live.value;
	return <p class="live" title={text.liveTitle[state]}><Dot state={state === 'live' ? 'online' : state === 'starting' ? 'offline' : 'waiting'} /><span>{text.liveWords[state]}</span></p>;
}

function Sidebar() {
	const user = me.value?.user, name = user ? user.displayName || user.name : text.key;
	return (
		<nav class="sidebar" aria-label={text.main}>
			<a class="switcher" href={href('/machines')} title={me.value?.tailnet.name}><Mark /><span class="truncate">{tailnetName()}</span></a>
			<button type="button" class="find" title={text.find} onClick={() => { paletteOpen.value = true; }}><Icon name="search" /><span>{text.find}</span><kbd>{commandKey}K</kbd></button>
			{NAV.map(group => {
				const items = group.items.filter(visible);
				return items.length > 0 && <>{group.head && <h2 key={group.head}>{group.head}</h2>}{items.map(item => <NavLink key={item.path} item={item} />)}</>;
			})}
			<div class="foot">
				<Live />
				<div class="account"><Avatar name={name} /><span class="truncate" title={`${name}, ${user?.role ?? ''}`}>{name}</span><MenuButton label={text.account} size="small" icon="updown" items={accountItems} /></div>
			</div>
		</nav>
	);
}
export const tailnetName = (): string => { const t = me.value?.tailnet; return !t ? '' : t.name && t.name !== 'default' ? t.name : t.domain || 'Fairlead'; };

function BottomBar() {
	const [more, setMore] = useState(false);
	const all = NAV.flatMap(g => g.items).filter(visible), first = all.filter(i => ['/machines', '/users', '/access', '/logs'].includes(i.under)), rest = all.filter(i => !first.includes(i));
	const path = place.value.path;
	useEffect(() => setMore(false), [path]);
	return (
		<>
			{more && (
				<nav class="more-sheet" aria-label={text.more}>
					{rest.map(item => <NavLink key={item.path} item={item} />)}
					<a href="/my"><Icon name="laptop" /><span>{text.myDevices}</span></a>
					<button type="button" onClick={() => { theme.value = theme.value === 'dark' ? 'light' : 'dark'; }}><Icon name="theme" /><span>{text.otherTheme}</span></button>
				</nav>
			)}
			<nav class="bottom-bar" aria-label={text.main}>
				{first.map(item => <a key={item.path} href={href(item.path)} aria-current={current(item) ? 'page' : undefined}><Icon name={item.icon} />{item.short ?? item.text}</a>)}
				<button type="button" aria-expanded={more} data-on={rest.some(current) || undefined} onClick={() => setMore(!more)}><Icon name="more" />{text.more}</button>
			</nav>
		</>
	);
}

const AWAY_MS = 2000;
/** So that a page opens at once, and also while the server is away: the small chunks are fetched when nothing else is to do. */
export function fetchPages(): void {
	const saves = (navigator as { connection?: { saveData?: boolean } }).connection?.saveData;
	if (!saves) setTimeout(() => { for (const route of ROUTES) route.load().catch(() => { /* asked for again when it is opened */ }); }, 2500);
}

/** Loads the page that the address names; the old one stays until the new one is there. */
function Outlet() {
	const path = place.value.path === '/' ? '/machines' : place.value.path;
	const [shown, setShown] = useState<{ page: Page; params: Record<string, string>; pattern: string } | null>(null), [problem, setProblem] = useState('');
	const started = useRef(false), [turn, retry] = useReducer<number, void>(n => n + 1, 0);
	useEffect(() => {
		let old = false, timer: ReturnType<typeof setTimeout>;
		for (const route of ROUTES) {
			const params = match(route.pattern, path);
			if (!params) continue;
			route.load().then(module => { if (!old) { setProblem(''); setShown({ page: module.default, params, pattern: route.pattern }); } }, async () => {
				// Gone with another version of the server, or is the server away? Then it is tried again.
				const there = await fetch(href('/'), { method: 'HEAD', cache: 'no-store' }).then(r => r.ok, () => false);
				if (old) return;
				if (there && turn > 0) { location.reload(); return; } // some browsers remember that a module failed
				setProblem(there ? 'load' : 'away');
				if (!there) timer = setTimeout(() => retry(), AWAY_MS);
			});
			return () => { old = true; clearTimeout(timer); };
		}
		setProblem('none');
		return undefined;
	}, [path, turn]);
	useEffect(() => {
		// A new page begins at its heading, for the keyboard and for screen readers; the first one does not take the focus.
		if (started.current && shown) document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
		if (shown) started.current = true;
	}, [shown?.pattern]);
	if (problem === 'away') return <div class="page"><h1 tabIndex={-1}>{text.away}</h1><Failed what={text.thisPage} error={new ApiError(text.unreachable, 0)} onRetry={() => retry()} /></div>;
	if (problem === 'load') return <div class="page"><h1>{text.newVersion}</h1><Notice tone="warn" actions={<Button label={text.reload} size="small" onClick={() => location.reload()} />}>{text.pageGone}</Notice></div>;
	if (problem === 'none') return <div class="page"><h1>{text.noSuchPage}</h1><p class="muted">{text.noSuchPageText} <a href={href('/machines')}>{text.toMachines}</a></p></div>;
	if (!shown) return <div class="page"><Skeletons rows={9} /></div>;
	const { page: P, params, pattern } = shown;
	return <P key={pattern.endsWith('*') || !pattern.includes(':') ? pattern.replace('/*', '') : JSON.stringify(params)} params={params} />;
}

function StoppedNotice() {
	if (live.value !== 'stopped' && live.value !== 'offline') return null;
	return (
		<div class="banner"><Notice tone="warn" alert actions={live.value === 'stopped' && <Button label={text.tryNow} size="small" onClick={tryNow} />}>
			<b>{live.value === 'offline' ? text.offline : text.stopped(Math.round(silentSince.value / 1000))}</b> {live.value === 'offline' ? text.offlineMore : text.stoppedMore}
		</Notice></div>
	);
}

function News() {
	const n = news.value;
	if (!n) return null;
	return (
		<div class="banner"><Notice tone="accent" alert actions={<>{n.kind === 'version' && <Button label={text.reload} size="small" onClick={() => location.reload()} />}<Button label={text.close} kind="quiet" size="small" icon="x" iconOnly onClick={() => { news.value = null; }} /></>}>
			{n.kind === 'role' ? <><b>{text.newRole(n.role)}</b> {text.newRoleMore}</> : <><b>{text.newServer(n.version)}</b> {text.newServerMore}</>}
		</Notice></div>
	);
}

export function Shell() {
	useEffect(fetchPages, []);
	useEffect(() => effect(() => {
		const path = place.value.path, n = machinesAsking.value;
		const item = NAV.flatMap(g => g.items).find(i => path.startsWith(i.under));
		document.title = `${n ? `(${n}) ` : ''}${item?.text ?? 'Fairlead'} · ${tailnetName()}`;
	}), []);
	return (
		<>
			<div class="shell">
				<a class="skip button" href="#content" onClick={event => { event.preventDefault(); document.getElementById('content')!.focus(); }}>{text.skip}</a>
				<header class="top-bar"><Mark /><span class="truncate">{tailnetName()}</span><Button label={text.search} kind="quiet" icon="search" iconOnly onClick={() => { paletteOpen.value = true; }} /></header>
				<Sidebar />
				<main class="main" id="content" tabIndex={-1}><StoppedNotice /><News /><Outlet /></main>
				<BottomBar />
			</div>
			{paletteOpen.value && <Palette />}
			{helpOpen.value && <Help />}
			<Dialogs />
			<Toasts />
			<Announcer />
		</>
	);
}
