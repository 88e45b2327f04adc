import { Button, Chip, Empty, Icon, PageHead, Tabs } from '../../components/basics';
import { useEffect, useReducer, useState } from 'preact/hooks';
import { act, failed, MenuButton, openDanger, toast, type MenuItem } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { get, post, put } from '../../data/api';
import { putAt } from '../../data/hujson';
import type { Draft, Version } from '../../data/policy';
import { go, href, place, setQuery } from '../../data/router';
import { asks, fits, waiting, type ExitRow, type RouteRow, type Router, type RoutesAnswer } from '../../data/routes';
import { machines, may, me, onChanges, putMachine, reason, refresh, useResource } from '../../data/store';
import type { MachineRow } from '../../data/types';
import { text } from '../../text/routes';

const nameOf = (id: string): string => machines.value.byId.get(id)?.name ?? `machine ${id}`;
const Link = ({ id }: { id: string }) => <a href={href(`/machines/${id}`)}>{nameOf(id)}</a>;

async function set(prefix: string, machine: string, approved: boolean): Promise<void> {
	const answer = await post<{ machine: MachineRow }>('/routes/approve', { prefix, machine, approved });
	putMachine(answer.machine);
	refresh('/routes', `/machines/${machine}`);
}
const words = (prefix: string) => prefix === 'exit' ? 'exit node' : prefix;
const approve = (prefix: string, ids: string[]) => act(<>Approved <b>{words(prefix)}</b> of {ids.map(nameOf).join(', ')}</>, `${words(prefix)} was not approved`,
	async () => { for (const id of ids) await set(prefix, id, true); }, async () => { for (const id of ids) await set(prefix, id, false); });
const withdraw = (prefix: string, id: string, carries: boolean, next?: Router) => openDanger({
	title: `Take back the approval of ${words(prefix)}?`, action: `Take it from ${nameOf(id)}`, keep: 'Keep it',
	effects: prefix === 'exit' ? [`Machines that use ${nameOf(id)} as their exit node lose the Internet until they choose another.`]
		: [carries ? next ? `${nameOf(next.id)} takes over at once.` : 'Nobody takes over: these addresses cannot be reached until another machine carries them.' : `${nameOf(id)} does not carry it now: nothing is cut.`],
	run: () => set(prefix, id, false), after: () => toast(<>Took <b>{words(prefix)}</b> from {nameOf(id)}</>, () => set(prefix, id, true)),
});

type Uses = ReadonlyMap<string, number>;
const MOST_ASKED = 40;
/** How many machines the policy lets send to each prefix. A question each, a few at a time, again when the policy changes. */
function useUses(prefixes: string[]): Uses {
	const [uses, set] = useState<Uses>(new Map()), [turn, again] = useReducer<number, void>(n => n + 1, 0), key = prefixes.slice(0, MOST_ASKED).join();
	useEffect(() => onChanges(['policy'], () => again()), []);
	useEffect(() => {
		if (!key || !may('policy_file', 'read')) return;
		const abort = new AbortController(), left = key.split(',');
		const next = async (): Promise<void> => {
			for (let prefix = left.shift(); prefix && !abort.signal.aborted; prefix = left.shift()) {
				const asked = prefix;
				try {
					const { edges } = await post<{ edges: { from: { key: string; machines: number } }[] }>('/policy/graph', { of: asked, direction: 'to' }, abort.signal);
					let n = 0;
					for (const m of new Map(edges.map(e => [e.from.key, e.from.machines])).values()) n += m;
					set(old => new Map([...old, [asked, n]]));
				} catch { /* the column stays empty */ }
			}
		};
		for (let i = 0; i < 3; i++) void next();
		return () => abort.abort();
	}, [key, turn]);
	return uses;
}

/** A draft of the policy in which whoever offers the route by these tags or people needs no approval. */
async function autoApprove(prefix: string, routers: string[]): Promise<void> {
	const who = [...new Set(routers.flatMap(id => { const m = machines.value.byId.get(id); return m ? m.tags.length ? m.tags : [m.ownerName.includes('@') ? m.ownerName : `${m.ownerName}@`] : []; }))];
	try {
		const now = await get<Version>('/policy'), mine = await get<Draft>('/policy/draft').catch(() => null), text = mine?.policy ?? now.policy;
		const written = putAt(text.trim() ? text : '{\n}\n', ['autoApprovers', 'routes'], prefix, JSON.stringify(who));
		if (!written) throw new Error('the policy cannot be read: mend it first');
		await put('/policy/draft', { policy: written, base: mine?.base ?? (now.version || undefined) });
		go('/access');
		toast(<>Your draft approves <b>{prefix}</b> of {who.join(', ')} by itself. Review and save it.</>);
	} catch (e) { failed('No rule was written', e); }
}

export default function Routes() {
	const answer = useResource<RoutesAnswer>('/routes', ['machine', 'setting', 'policy']), q = place.value.query.get('q') ?? '', view = place.value.query.get('view') ?? '';
	const routes = answer.data?.routes ?? [], exits = answer.data?.exits ?? [], act = routes.filter(asks), exitAct = exits.filter(e => !e.approved);
	const off = reason('devices:routes', 'routes'), uses = useUses(routes.map(r => r.prefix));
	return (
		<div class="page">
			<PageHead title={text.title} />
			<Tabs label={text.views} items={[
				{ text: text.subnets, href: href('/routes'), count: answer.data && routes.length, on: view === '' },
				{ text: text.exits, href: href('/routes?view=exit'), count: answer.data && exits.length, on: view === 'exit' },
				{ text: text.attention, href: href('/routes?view=attention'), count: answer.data && act.length + exitAct.length, on: view === 'attention' || view === 'waiting', tone: 'warn' },
			]} />
			<Loaded resource={answer} what="routes">{() => {
				if (view === 'exit') return exits.length ? <Exits rows={exits} off={off} /> : <Empty title={text.noExits}>{text.noExitsText}</Empty>;
				const narrowed = view === 'attention' || view === 'waiting', rows = (narrowed ? act : routes).filter(r => fits(r, q, nameOf));
				if (!routes.length && !narrowed) return <Empty title={text.none}>{text.noneText}</Empty>;
				return (
					<>
						<div class="toolbar"><div class="search"><Icon name="search" /><input class="input" type="search" aria-label={text.filter} placeholder={text.hint} value={q} onInput={e => setQuery({ q: e.currentTarget.value })} /><kbd>/</kbd></div></div>
						{rows.length > 0 ? <Subnets rows={rows} off={off} uses={uses} /> : q ? <Empty title={text.noMatch(q)} actions={<Button label={text.clear} onClick={() => setQuery({ q: '' })} />} /> : narrowed && exitAct.length === 0 ? <Empty title={text.nothing}>{text.nothingText}</Empty> : null}
						{narrowed && exitAct.length > 0 && !q && <Exits rows={exitAct} off={off} />}
					</>
				);
			}}</Loaded>
		</div>
	);
}

function State({ route: r, off }: { route: RouteRow; off?: string }) {
	const wait = waiting(r);
	return (
		<span class="chips">
			{r.state === 'carries' && <Chip tone="ok" icon="check">{text.states.carries}</Chip>}
			{r.state === 'nobody' && <Chip tone="danger" icon="alert">{text.states.nobody}</Chip>}
			{r.state === 'conflict' && <Chip tone="warn" icon="alert" title={r.overlaps.join(', ')}>{text.states.conflict} {r.overlaps[0] ?? ''}</Chip>}
			{r.state !== 'conflict' && r.overlaps.length > 0 && <Chip title={r.overlaps.join(', ')}>Inside {r.overlaps[0]}</Chip>}
			{wait.length > 0 && <><Chip tone="warn" icon="clock">{r.state === 'waits' ? text.states.waits : `${wait.length} more ${wait.length === 1 ? 'waits' : 'wait'}`}</Chip><Button label={text.approve} size="small" reason={off} onClick={() => void approve(r.prefix, wait.map(x => x.id))} /></>}
		</span>
	);
}

const Subnets = ({ rows, off, uses }: { rows: RouteRow[]; off?: string; uses: Uses }) => (
	<Table label="Subnet routes" rows={rows} keyOf={r => r.prefix} columns={[
		{ head: 'Route', cell: r => <code>{r.prefix}</code> },
		{ head: 'State', cell: r => <State route={r} off={off} /> },
		{ head: 'Carried by', cell: r => r.carrier ? <Link id={r.carrier} /> : waiting(r).length ? <>{waiting(r).map((x, i) => <>{i > 0 && ', '}<Link id={x.id} /></>)} offers it</> : 'Nobody' },
		{ head: 'Takes over', cell: r => {
			const standby = r.routers.filter(x => x.approved && x.announced && x.id !== r.carrier);
			return standby.length ? <>{standby.map((x, i) => <>{i > 0 && ', '}<Link id={x.id} />{!x.online ? ' (offline)' : !x.healthy ? ' (does not answer)' : ''}</>)}</> : r.carrier ? 'Nobody' : '';
		} },
		{ head: 'May use it', cell: r => { const n = uses.get(r.prefix); return n === undefined ? '' : <a href={href(`/access/reach?of=${encodeURIComponent(r.prefix)}&turn=to`)}>{n === 1 ? '1 machine' : `${n.toLocaleString('en')} machines`}</a>; } },
		{ head: '', cell: r => <MenuButton label={`Actions for ${r.prefix}`} size="small" items={() => menuOf(r, off)} /> },
	]} />
);
function menuOf(r: RouteRow, off?: string): MenuItem[] {
	const ready = (x: Router) => r.routers.find(o => o.id !== x.id && o.approved && o.announced && o.online);
	return [
		...waiting(r).map(x => ({ text: `Approve ${nameOf(x.id)}`, icon: 'check' as const, reason: off, run: () => void approve(r.prefix, [x.id]) })),
		...r.routers.filter(x => x.approved).map(x => ({ text: `Take it from ${nameOf(x.id)}…`, icon: 'x' as const, danger: true, reason: off, run: () => withdraw(r.prefix, x.id, x.carries, ready(x)) })),
		'line',
		{ text: 'Auto-approve rule…', icon: 'bolt', reason: me.value?.policyInFile ? 'The policy comes from a file on the server.' : reason('policy_file', 'the policy'), run: () => void autoApprove(r.prefix, r.routers.filter(x => x.announced).map(x => x.id)) },
		may('policy_file', 'read') && { text: 'Who can reach it?', icon: 'access', href: href(`/access/reach?of=${encodeURIComponent(r.prefix)}&turn=to`) },
	];
}

const Exits = ({ rows, off }: { rows: ExitRow[]; off?: string }) => (
	<Table label="Exit nodes" rows={rows} keyOf={e => e.id} columns={[
		{ head: 'Machine', cell: e => <span class="row"><span class="dot" data-state={e.online ? 'online' : 'offline'} /><Link id={e.id} /></span> },
		{ head: 'State', cell: e => e.approved ? e.online ? <Chip tone="ok" icon="check">{text.approvedExit}</Chip> : <Chip>{text.offExit}</Chip> : <span class="chips"><Chip tone="warn" icon="clock">{text.waitsExit}</Chip><Button label={text.approve} size="small" reason={off} onClick={() => void approve('exit', [e.id])} /></span> },
		{ head: 'Where', cell: e => [e.city, e.country].filter(Boolean).join(', ') || 'not told' },
		{ head: 'Used by', cell: e => e.usedBy ? e.usedBy === 1 ? '1 machine' : `${e.usedBy.toLocaleString('en')} machines` : 'nobody now' },
		{ head: '', cell: e => <MenuButton label={`Actions for ${nameOf(e.id)}`} size="small" items={() => [e.approved ? { text: text.withdraw, icon: 'x', danger: true, reason: off, run: () => withdraw('exit', e.id, true) } : { text: text.approve, icon: 'check', reason: off, run: () => void approve('exit', [e.id]) }]} /> },
	]} />
);
