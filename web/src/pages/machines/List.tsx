import { signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { Button, Empty, Field, PageHead, Skeletons, Tabs } from '../../components/basics';
import { Failed, MenuButton, openForm, type MenuItem } from '../../components/overlays';
import { matcher, nearest, parse, sorted, type Context, type Token } from '../../data/filter';
import { has, isRouter, urgency, type Machine } from '../../data/machines';
import { reorder, visible, type Order } from '../../data/order';
import { columns as chosenColumns, savedViews } from '../../data/prefs';
import { go, href, place, setQuery } from '../../data/router';
import { attention, listError, listRetryAt, loadMachines, machineList, machines, may, me, reason, regionNames } from '../../data/store';
import { now } from '../../data/time';
import { announce } from '../../shell/announce';
import { useKeys } from '../../shell/keys';
import { text } from '../../text/machines';
import { approve, approveAll, copyAddress, copySsh, editTags, expireAll, removeAll, rename, tagAll } from './actions';
import { AddMachine, Guide } from './Add';
import { factsOf } from './facts';
import { FilterField } from './FilterField';
import { Peek } from './Peek';
import { osWords, Row } from './Row';

const VIEWS: Record<string, (m: Machine, nowMs: number, me: string) => boolean> = {
	'': () => true,
	attention: (m, nowMs) => urgency(m, nowMs) > 0,
	online: m => has(m, 'online'),
	offline: m => !has(m, 'online'),
	routers: m => isRouter(m) || has(m, 'routesWait') || has(m, 'exitOffered'),
	mine: (m, _, id) => m.user === id,
};
const OVERSCAN = 12;
const NARROW = ['address', 'owner', 'facts', 'seen']; // one array: a row is drawn again when its columns change
const HEADS: [string, string, string?][] = [['address', 'Address', 'address'], ['owner', 'Owner', 'owner'], ['facts', 'Properties'], ['client', 'Client', 'client'], ['relay', 'Relay'], ['created', 'Added', 'created'],
	['expiry', 'Key expires'], ['id', 'Node ID'], ['day', 'Last 24 h'], ['seen', 'Seen', 'seen']];

/** Where the window's viewport stands over the table, in pixels from its first row; a frame a change. */
function useViewport(ref: { current: HTMLElement | null }): [number, number] {
	const [range, set] = useState<[number, number]>([0, 1200]);
	useLayoutEffect(() => {
		let frame = 0;
		const measure = () => {
			frame = 0;
			const body = ref.current;
			if (!body) return;
			const top = -body.getBoundingClientRect().top;
			set(old => Math.abs(old[0] - top) < 8 && old[1] === top + innerHeight ? old : [top, top + innerHeight]);
		};
		const ask = () => { frame ||= requestAnimationFrame(measure); };
		measure();
		addEventListener('scroll', ask, { passive: true });
		addEventListener('resize', ask);
		return () => { cancelAnimationFrame(frame); removeEventListener('scroll', ask); removeEventListener('resize', ask); };
	}, []);
	return range;
}

/** Rows are of one height on a wide page; on a narrow one they are two lines, and a third where there are facts. */
function useHeights(ref: { current: HTMLElement | null }): { narrow: boolean; row: number } {
	const [state, set] = useState({ narrow: false, row: 40 });
	useLayoutEffect(() => {
		const measure = () => {
			const page = ref.current;
			if (!page) return;
			const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), coarse = matchMedia('(pointer: coarse)').matches;
			const next = { narrow: page.clientWidth < 46 * rem, row: (coarse ? 3 : 2.5) * rem };
			set(old => old.narrow === next.narrow && old.row === next.row ? old : next);
		};
		measure();
		const observer = new ResizeObserver(measure);
		if (ref.current) observer.observe(ref.current.closest('.main') ?? ref.current);
		return () => observer.disconnect();
	}, []);
	return state;
}

export default function Machines() {
	const query = place.value.query, view = query.get('view') ?? '', q = query.get('q') ?? '', sort = query.get('sort') ?? '', peek = query.get('peek') ?? '';
	const state = machines.value, nowMs = now.value, all = machineList.value;
	const context: Context = useMemo(() => ({ nowMs, me: me.value?.user?.id ?? '', regions: regionNames.value }), [nowMs, regionNames.value]);
	const tokens = useMemo(() => parse(q), [q]);

	const page = useRef<HTMLDivElement>(null), body = useRef<HTMLTableSectionElement>(null);
	const { narrow, row } = useHeights(page);
	const [top, bottom] = useViewport(body);

	// ---- which rows, in which order
	const target = useMemo(() => {
		const fits = matcher(tokens, context, state.newest), inView = VIEWS[view] ?? VIEWS['']!;
		return sorted(all.filter(m => inView(m, nowMs, context.me) && fits(m)), sort, nowMs).map(m => m.id);
	}, [all, tokens, view, sort, context, attention.value]);
	const order = useRef<Order & { of: string; from: string[]; size: number }>({ ids: [], waiting: [], of: '', from: [], size: 0 });
	const hovered = useRef(false), [, again] = useReducer<number, void>(n => n + 1, 0);
	const question = `${view}\n${q}\n${sort}`;
	const settled = order.current.of !== question || (!hovered.current && top < row * 2 && !body.current?.contains(document.activeElement));
	// While it is scrolled and nothing came or went, the order is the one that is there.
	const same = !settled && order.current.from === target && order.current.size === state.byId.size;
	const next = same ? order.current : reorder(order.current, target, id => state.byId.has(id), settled, Math.floor(Math.max(0, top) / row));
	order.current = { ids: next.ids, waiting: next.waiting, of: question, from: target, size: state.byId.size };
	const ids = next.ids;

	const height = (id: string) => { const m = state.byId.get(id), facts = m ? factsOf(m, nowMs) : []; return !facts.length ? 60 : facts[0]!.act ? 66 + (row > 44 ? 36 : 26) : 86; };
	const tops = useMemo<(i: number) => number>(() => {
		if (!narrow) return i => i * row;
		const sums = new Float64Array(ids.length + 1);
		ids.forEach((id, i) => { sums[i + 1] = sums[i]! + height(id); });
		return i => sums[i]!;
	}, [narrow, row, ids]);
	const [from, to] = visible(tops, ids.length, top, bottom, OVERSCAN);

	// ---- selection and the row that has the keys
	const [selected, setSelected] = useState<ReadonlySet<string>>(new Set()), [cursor, setCursor] = useState(''), lastPicked = useRef('');
	const idsRef = useRef(ids);
	idsRef.current = ids;
	const pick = useMemo(() => (id: string, range: boolean) => setSelected(old => {
		const out = new Set(old), list = idsRef.current, a = list.indexOf(lastPicked.current), b = list.indexOf(id);
		if (range && a >= 0 && b >= 0) for (let i = Math.min(a, b); i <= Math.max(a, b); i++) out.add(list[i]!);
		else if (out.has(id)) out.delete(id); else out.add(id);
		lastPicked.current = id;
		return out;
	}), []);
	const chosen = [...selected].map(id => state.byId.get(id)).filter(m => m !== undefined);
	const going = useRef(''); // the row that has the keys before it has the focus, two frames later
	const move = (step: number) => {
		const at = ids.indexOf(focusedRow() || cursor), to = Math.max(0, Math.min(ids.length - 1, at < 0 ? 0 : at + step)), id = ids[to];
		if (!id || !body.current) return;
		setCursor(id);
		const y = body.current.getBoundingClientRect().top + scrollY + tops(to), h = tops(to + 1) - tops(to);
		if (y < scrollY + 60) scrollTo(0, y - 120); else if (y + h > scrollY + innerHeight - 80) scrollTo(0, y + h - innerHeight + 120);
		if (peek) setQuery({ peek: id });
		going.current = id;
		requestAnimationFrame(() => requestAnimationFrame(() => {
			if (going.current !== id) return;
			going.current = '';
			document.querySelector<HTMLElement>(`a[data-row="${CSS.escape(id)}"]`)?.focus({ preventScroll: true });
		}));
	};
	const focusedRow = () => going.current || ((document.activeElement?.closest('tr[data-id]') as HTMLElement | null)?.dataset.id ?? '');
	const withRow = (run: (m: Machine) => unknown, needs = false) => () => { const m = state.byId.get(focusedRow() || cursor || peek); if (m && (!needs || may('devices:core'))) run(m); };
	useKeys({
		j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
		Enter: withRow(m => go(`/machines/${m.id}`)), ' ': withRow(m => setQuery({ peek: peek === m.id ? '' : m.id })), x: withRow(m => pick(m.id, false)),
		a: withRow(m => has(m, 'waits') && approve(m), true), r: withRow(m => rename(m), true), t: withRow(m => editTags(m), true), c: withRow(m => copyAddress(m)), s: withRow(m => copySsh(m)),
		Escape: () => { if (peek) setQuery({ peek: '' }); else if (selected.size) setSelected(new Set()); },
	});
	useEffect(() => {
		// Space on a link scrolls the page: here it peeks.
		const onKey = (e: KeyboardEvent) => { const id = (e.target as HTMLElement).dataset?.row; if (e.key === ' ' && id) { e.preventDefault(); setQuery({ peek: id }); } };
		document.addEventListener('keydown', onKey);
		return () => document.removeEventListener('keydown', onKey);
	}, []);
	const count = target.length;
	const wasCount = useRef(count);
	useEffect(() => { if (state.loaded && wasCount.current !== count) announce(text.announced(count)); wasCount.current = count; }, [count]);

	// ---- tabs
	const counts = useMemo(() => Object.fromEntries(Object.entries(VIEWS).map(([key, fits]) => [key, all.filter(m => fits(m, nowMs, context.me)).length])), [all, context, attention.value]);
	const tabs = Object.keys(VIEWS).filter(key => key !== 'mine' || counts.mine! > 0 || view === 'mine').map(key => ({
		text: text.views[key]!, href: href(`/machines${key ? `?view=${key}` : ''}`), count: counts[key], on: view === key && !savedViews.value.some(v => v.query === q && q), tone: key === 'attention' ? 'warn' as const : undefined,
	}));
	for (const v of savedViews.value) tabs.push({ text: v.name, href: href(`/machines?q=${encodeURIComponent(v.query)}`), count: undefined, on: q === v.query && !view, tone: undefined });

	const shown = narrow ? NARROW : chosenColumns.value;
	const setFilter = (words: string) => setQuery({ q: words.trim(), peek: '' });
	const empty = state.loaded && all.length === 0;
	return (
		<div class="page" ref={page}>
			<PageHead title={text.title} actions={<Button label={text.add} kind="primary" icon="plus" reason={reason('devices:core', 'machines')} onClick={() => setQuery({ add: '1' }, { replace: false })} />} />
			{listError.value && <Failed what="the machines" error={listError.value} retryAt={listRetryAt.value} onRetry={() => void loadMachines()} />}
			{!state.loaded && !listError.value && <Skeletons rows={12} />}
			{empty && <Guide />}
			{state.loaded && !empty && (
				<>
					<Tabs label={text.viewsLabel} items={tabs} />
					{chosen.length > 0 ? (
						<div class="selection" role="toolbar" aria-label="Selected machines">
							<b>{text.selected(chosen.length)}</b>
							{chosen.some(m => has(m, 'waits')) && <Button label={text.approve} size="small" reason={reason('devices:core', 'machines')} onClick={() => void approveAll(chosen.filter(m => has(m, 'waits')))} />}
							<Button label="Add tag…" size="small" reason={reason('devices:core', 'machines')} onClick={() => tagAll(chosen, () => setSelected(new Set()))} />
							<Button label="Expire keys…" size="small" reason={reason('devices:core', 'machines')} onClick={() => expireAll(chosen, () => setSelected(new Set()))} />
							<Button label="Delete…" size="small" reason={reason('devices:core', 'machines')} onClick={() => removeAll(chosen, () => setSelected(new Set()))} />
							<Button label="Clear selection" size="small" kind="quiet" icon="x" iconOnly onClick={() => setSelected(new Set())} />
						</div>
					) : (
						<div class="toolbar">
							<FilterField value={q} context={context} onChange={setFilter} />
							<span class="wide-only row"><FilterChips tokens={tokens} q={q} onChange={setFilter} /></span>
							<span class="push wide-only row">
								{q && !savedViews.value.some(v => v.query === q) && <Button label={text.saveView} kind="quiet" onClick={() => saveView(q)} />}
								{savedViews.value.some(v => v.query === q) && <Button label={text.removeView} kind="quiet" onClick={() => { savedViews.value = savedViews.value.filter(v => v.query !== q); }} />}
								<MenuButton label={text.columns} icon="settings" iconOnly={false} items={columnItems} />
							</span>
						</div>
					)}
					{next.waiting.length > 0 && <button type="button" class="fresh" onClick={() => { hovered.current = false; scrollTo(0, 0); order.current = { ids: [], waiting: [], of: '', from: [], size: 0 }; again(); }}>{text.fresh(next.waiting.length)}</button>}
					{ids.length > 0 ? (
						<table class="table machines" aria-rowcount={ids.length + 1} aria-label={text.title} data-narrow={narrow || undefined}>
							<thead><tr>
								<th scope="col" data-col="pick"><input type="checkbox" class="check" aria-label={text.selectAll} checked={chosen.length > 0 && chosen.length === ids.length} indeterminate={chosen.length > 0 && chosen.length < ids.length}
									onClick={() => setSelected(chosen.length === ids.length ? new Set() : new Set(ids))} /></th>
								<Head col="name" words="Machine" by="name" sort={sort} />
								{HEADS.filter(([col]) => shown.includes(col)).map(([col, words, by]) => <Head key={col} col={col} words={words} by={by} sort={sort} />)}
								<th scope="col" data-col="more"><span class="visually-hidden">Actions</span></th>
							</tr></thead>
							<tbody ref={body} onPointerEnter={() => { hovered.current = true; }} onPointerLeave={() => { hovered.current = false; again(); }}>
								{from > 0 && <tr class="spacer" aria-hidden="true" style={{ blockSize: `${tops(from)}px` }}><td /></tr>}
								{ids.slice(from, to).map((id, i) => {
									const m = state.byId.get(id)!;
									return <Row key={id} machine={m} index={from + i} columns={shown} nowMs={nowMs} newest={state.newest} region={regionNames.value.get(m.relay) ?? (m.relay ? String(m.relay) : '')} selected={selected.has(id)} peeked={peek === id}
										height={tops(from + i + 1) - tops(from + i)} onSelect={pick} />;
								})}
								{to < ids.length && <tr class="spacer" aria-hidden="true" style={{ blockSize: `${tops(ids.length) - tops(to)}px` }}><td /></tr>}
							</tbody>
						</table>
					) : <Nothing q={q} view={view} tokens={tokens} onFilter={setFilter} />}
				</>
			)}
			{peek && state.byId.has(peek) && <Peek machine={state.byId.get(peek)!} onClose={() => setQuery({ peek: '' })} />}
			{query.get('add') && <AddMachine onClose={() => setQuery({ add: '' })} />}
		</div>
	);
}

function Head({ col, words, by, sort }: { col: string; words: string; by?: string; sort: string }) {
	const on = by && (sort === by ? 'ascending' : sort === `-${by}` ? 'descending' : by === 'name' && sort === '' ? undefined : undefined);
	return (
		<th scope="col" data-col={col} aria-sort={on || undefined}>
			{by ? <button type="button" class="sort" onClick={() => setQuery({ sort: sort === by ? `-${by}` : sort === `-${by}` ? '' : by })}>{words}<svg class="icon" aria-hidden="true"><use href="#i-down" /></svg></button> : words}
		</th>
	);
}

const columnItems = (): MenuItem[] => HEADS.map(([col, words]) => ({
	text: words, checked: chosenColumns.value.includes(col),
	run: () => { chosenColumns.value = chosenColumns.value.includes(col) ? chosenColumns.value.filter(c => c !== col) : HEADS.map(h => h[0]).filter(c => c === col || chosenColumns.value.includes(c)); },
}));

function saveView(q: string): void {
	const name = signal(q.replace(/\b\w+:/g, '').replace(/^./, c => c.toUpperCase()).slice(0, 24));
	openForm({
		title: text.saveViewTitle, submit: 'Save view', ready: () => name.value.trim() !== '',
		body: () => <><p class="muted"><code>{q}</code></p><Field label={text.viewName} help="Kept in this browser.">{ids => <input class="input" {...ids} data-autofocus value={name.value} onInput={e => { name.value = e.currentTarget.value; }} />}</Field></>,
		run: async () => { savedViews.value = [...savedViews.value, { name: name.value.trim(), query: q }]; },
	});
}

const CHIPS: [string, string, (m: Machine) => string][] = [['owner', 'Owner', m => m.tags.length ? '' : m.ownerName], ['tag', 'Tag', m => m.tags.map(t => t.slice(4)).join(' ')], ['os', 'Client', m => m.os.toLowerCase()]];
function FilterChips({ tokens, q, onChange }: { tokens: Token[]; q: string; onChange: (words: string) => void }) {
	return <>{CHIPS.map(([key, words, of]) => {
		const set = tokens.find(t => t.key === key && t.value);
		if (set) return <button key={key} type="button" class="chip" data-kind="filter" aria-pressed="true" title="Remove" onClick={() => onChange((q.slice(0, set.from) + q.slice(set.to)).replace(/\s+/g, ' ').trim())}>{words}: {key === 'os' ? osWords(set.value) : set.value} <svg class="icon" aria-hidden="true"><use href="#i-x" /></svg></button>;
		return <MenuButton key={key} chip icon="plus" iconOnly={false} label={words} items={() => {
			const counts = new Map<string, number>();
			for (const m of machineList.value) for (const v of of(m).split(' ')) if (v) counts.set(v, (counts.get(v) ?? 0) + 1);
			return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 40).map(([v, n]) => ({ text: key === 'os' ? osWords(v) : v, hint: n.toLocaleString('en'), run: () => onChange(`${q} ${key}:${v}`.trim()) }));
		}} />;
	})}</>;
}

function Nothing({ q, view, tokens, onFilter }: { q: string; view: string; tokens: Token[]; onFilter: (words: string) => void }) {
	if (!q) return <Empty title={text.nothingHere[view] ?? text.noMatch(view)}>{text.nothingHereText[view]}</Empty>;
	const near = nearest(tokens, machineList.value), real = near && `${near.token.key}:${near.value}`;
	return (
		<Empty title={text.noMatch(q)} actions={<>
			{near && <Button label={`Use ${real}`} size="small" onClick={() => onFilter(q.slice(0, near.token.from) + real + q.slice(near.token.to))} />}
			<Button label={text.clearFilters} size="small" kind="quiet" onClick={() => go('/machines')} />
		</>}>{near ? text.noMatchHint(real!) : text.noMatchPlain}</Empty>
	);
}
