import { Fragment } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Button, Chip, Notice, Section, Segmented, Skeletons, Switch } from '../../components/basics';
import { Changes, type ChangeItem } from '../../components/diff';
import { Failed, toast } from '../../components/overlays';
import { ApiError, del, get, post } from '../../data/api';
import { useAsked } from '../../data/asked';
import { addTo } from '../../data/hujson';
import { capital, examples, partyName, partySize, ruleWords, rulesWords, type Cell, type Edge, type Explain, type Graph, type Matrix, type Party, type Step } from '../../data/policy';
import { go, href, place, setQuery } from '../../data/router';
import { ago, full } from '../../data/time';
import { machineList, may, reason, refresh, useResource } from '../../data/store';
import { reachText as text } from '../../text/access';
import { draftText, inForce, take } from './draft';

export default function Reach() {
	const query = place.value.query, withDraft = query.get('draft') === '1' && draftText.value !== null, of = query.get('of') ?? '', turn = query.get('turn') === 'to' ? 'to' as const : 'from' as const, ssh = query.get('ssh') === '1', filter = query.get('q') ?? '';
	const policy = withDraft ? { policy: draftText.value! } : {}, matrix = useAsked<Matrix>('/policy/matrix', { ...policy, ...(ssh ? { ssh: true } : {}) });
	const graph = useAsked<Graph>('/policy/graph', of ? { of, direction: turn, ...policy, ...(ssh ? { ssh: true } : {}) } : null);
	const m = matrix.data;
	// Nothing is chosen yet: the first row that reaches something.
	useEffect(() => { if (m && !of) { const first = m.cells.find(c => c.ports); if (first) setQuery({ of: m.rows[first.row]!.key }); } }, [m]);
	return (
		<>
			<Wishes />
			<Question policy={withDraft ? draftText.value! : undefined} />
			<Section title={text.everything} text={m ? text.everythingText(m.rows.reduce((n, r) => n + r.machines, 0), m.rows.length) : undefined} actions={<div class="row wrap">
				{draftText.value !== null && <label class="row"><Switch checked={withDraft} onChange={on => setQuery({ draft: on ? '1' : '' })} />{text.withDraft}</label>}
				<Segmented label="What" items={[{ text: text.connections, on: !ssh, pick: () => setQuery({ ssh: '' }) }, { text: text.ssh, on: ssh, pick: () => setQuery({ ssh: '1' }) }]} />
			</div>}>
				{matrix.error && <Failed what="the matrix" error={matrix.error} onRetry={matrix.again} />}
				{m ? <MatrixView matrix={m} filter={filter} of={of} turn={turn} ssh={ssh} withDraft={withDraft} /> : !matrix.error && <Skeletons rows={7} />}
			</Section>
			{of && (
				<Section title={graph.data ? (turn === 'from' ? text.what : text.who)(partyName(graph.data.of)) : '…'} actions={<Button label={text.turn} size="small" icon="updown" onClick={() => setQuery({ turn: turn === 'from' ? 'to' : '' })} />}>
					{graph.error && <Failed what="this" error={graph.error} onRetry={graph.again} />}
					{graph.data ? graph.data.edges.length ? <GraphView graph={graph.data} /> : <p class="muted">{turn === 'from' ? text.nothing : text.nobody}</p> : !graph.error && <Skeletons rows={5} />}
				</Section>
			)}
		</>
	);
}

// ---- what people asked for -----------------------------------------------------------------------------------------------------

type Wish = { id: string; userId: string; user: string; what: string; why: string; createdMs: number };

/** From "Something missing?" of people's own page: the question filled in, and what answers it. */
function Wishes() {
	const wishes = useResource<{ wishes: Wish[] }>('/wishes', ['wish', 'user']), list = wishes.data?.wishes ?? [], off = reason('policy_file', 'the access policy');
	if (!list.length) return null;
	const answered = async (wish: Wish) => {
		try { await del(`/wishes/${wish.id}`); refresh('/wishes'); toast(<>{text.wishDone} <b>{wish.what}</b></>); } catch (e) { toast(e instanceof ApiError ? e.message : String(e)); }
	};
	return (
		<Section title={text.wishes} text={text.wishesText}>
			<ul class="stack">
				{list.map(w => (
					<li key={w.id} class="row wrap">
						<span><b>{w.user}</b> {text.wants} <b>{w.what}</b>{w.why && <span class="muted"> · {w.why}</span>} <span class="muted" title={full(w.createdMs)}>{ago(w.createdMs)}</span></span>
						<a class="button push" data-size="small" href={href(`/access/reach?from=${encodeURIComponent(w.user)}&to=${encodeURIComponent(w.what)}`)}>{text.wishCheck}</a>
						<Button size="small" label={text.wishEnd} reason={off} onClick={() => { void answered(w); }} />
					</li>
				))}
			</ul>
		</Section>
	);
}

// ---- the sentence --------------------------------------------------------------------------------------------------------------

function Question({ policy }: { policy?: string }) {
	const query = place.value.query, [src, setSrc] = useState(query.get('from') ?? ''), [dst, setDst] = useState(query.get('to') ?? ''), [port, setPort] = useState(query.get('port') ?? '');
	const asked = { src: query.get('from') ?? '', dst: query.get('to') ?? '', port: query.get('port') ?? '' };
	const [answer, setAnswer] = useState<{ data?: Explain; error?: ApiError; busy: boolean }>({ busy: false });
	const target = () => { const p = asked.port.trim(); if (!p) return asked.dst; const [proto, number] = p.includes(':') ? p.split(':') : ['', p]; return `${asked.dst}:${number}${proto ? `/${proto}` : ''}`; };
	useEffect(() => {
		if (!asked.src || !asked.dst) { setAnswer({ busy: false }); return; }
		const abort = new AbortController();
		setAnswer(a => ({ ...a, busy: true }));
		(policy === undefined ? get<Explain>(`/policy/explain?src=${encodeURIComponent(asked.src)}&dst=${encodeURIComponent(target())}`, abort.signal)
			: post<{ draft: Explain }>('/policy/explain', { src: asked.src, dst: target(), policy }, abort.signal).then(a => a.draft))
			.then(data => setAnswer({ data, busy: false }), (e: unknown) => { if (!abort.signal.aborted) setAnswer({ error: e instanceof ApiError ? e : new ApiError(String(e), 0), busy: false }); });
		return () => abort.abort();
	}, [asked.src, asked.dst, asked.port, policy, inForce.value?.version]);
	const names = useMemo(() => [...new Set([...machineList.value.map(m => m.name), ...machineList.value.flatMap(m => m.tags), ...machineList.value.map(m => m.ownerName).filter(Boolean)])].slice(0, 400), [machineList.value]);
	const toDraft = (section: string, item: string) => {
		const base = draftText.value ?? inForce.value?.policy ?? '', out = addTo(base || '{\n}\n', section, item);
		if (out === undefined) { toast('The policy text cannot be read; write it by hand.'); return; }
		take(out, inForce.value?.version ?? 0);
		toast(text.added);
		go('/access');
	};
	const pair = answer.data?.pairs?.[0], allowed = answer.data ? isAllowed(answer.data) : false, sentence = pair?.sentence ?? answer.data?.sentence ?? '';
	return (
		<section class="card" aria-label="A question">
			<form class="ask-bar" onSubmit={e => { e.preventDefault(); setQuery({ from: src.trim(), to: dst.trim(), port: port.trim() }, { replace: false }); }}>
				<label for="reach-from">{text.can}</label><input id="reach-from" class="input" aria-label={text.from} list="reach-names" autocomplete="off" spellcheck={false} placeholder="mia-thinkpad" value={src} onInput={e => setSrc(e.currentTarget.value)} />
				<label for="reach-to">{text.reach}</label><input id="reach-to" class="input" aria-label={text.to} list="reach-names" autocomplete="off" spellcheck={false} placeholder="tag:prod" value={dst} onInput={e => setDst(e.currentTarget.value)} />
				<label for="reach-port">{text.on}</label><input id="reach-port" class="input" data-narrow aria-label={text.port} autocomplete="off" spellcheck={false} placeholder="443" value={port} onInput={e => setPort(e.currentTarget.value)} />
				<Button type="submit" kind="primary" label={text.check} busy={answer.busy} disabled={!src.trim() || !dst.trim()} />
				<datalist id="reach-names">{names.map(n => <option key={n} value={n} />)}</datalist>
			</form>
			{(answer.data || answer.error) && (
				<div class="answer" role="status">
					{answer.error ? <><Chip tone="warn" icon="alert">Not answered</Chip><span>{answer.error.message}</span></> : <>
						<Chip tone={allowed ? 'ok' : 'danger'} icon={allowed ? 'check' : 'x'}>{allowed ? text.yes : text.no}</Chip>
						<span class="answer-words"><Sentence words={sentence.replace(/^(Yes|No)\.\s*/, '')} chain={pair?.chain ?? []} /></span>
						{may('policy_file') && <span class="row push">
							<Button label={text.test} size="small" kind="quiet" onClick={() => toDraft('tests', JSON.stringify({ src: asked.src, [allowed ? 'accept' : 'deny']: [asked.port ? `${asked.dst}:${asked.port.replace(/^.*:/, '')}` : `${asked.dst}:443`] }))} />
							{!allowed && <Button label={text.rule} size="small" onClick={() => toDraft(/"acls"\s*:/.test(inForce.value?.policy ?? '') ? 'acls' : 'grants', /"acls"\s*:/.test(inForce.value?.policy ?? '')
								? JSON.stringify({ action: 'accept', src: [asked.src], dst: [`${asked.dst}:${asked.port.replace(/^.*:/, '') || '*'}`] }) : JSON.stringify({ src: [asked.src], dst: [asked.dst], ip: [asked.port.includes(':') ? asked.port : asked.port ? `tcp:${asked.port}` : '*'] }))} />}
						</span>}
					</>}
				</div>
			)}
		</section>
	);
}
const isAllowed = (e: Explain): boolean => typeof e.allowed === 'boolean' ? e.allowed : e.pairs.length > 0 && e.pairs.every(p => p.allowed === true || /^Yes/.test(p.sentence ?? ''));

/** The answer with its parts marked: lines are links into the editor, names are bold. */
function Sentence({ words, chain }: { words: string; chain: Step[] }) {
	const names = [...new Set(chain.filter(s => s.kind !== 'rule' && s.text.length > 2).map(s => s.text))].sort((a, b) => b.length - a.length).map(n => n.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
	const parts = words.split(new RegExp(`([Ll]ine \\d+${names.length ? `|${names.join('|')}` : ''})`));
	return <>{parts.map((p, i) => { const line = /^[Ll]ine (\d+)$/.exec(p); return line ? <a key={i} href={href(`/access?line=${line[1]}`)}>{p}</a> : i % 2 ? <b key={i}>{p}</b> : <Fragment key={i}>{p}</Fragment>; })}</>;
}

// ---- the matrix ------------------------------------------------------------------------------------------------------------------

const kindOf = (cell: Cell | undefined, own: boolean): string => !cell?.ports ? 'none' : own ? 'self' : cell.ports.all && !cell.some ? 'all' : 'some';
const columnSub = (c: Matrix['columns'][number]): string => c.kind === 'self' ? 'same person' : c.kind === 'internet' ? (c.routers.length ? `${c.routers.length} exit ${c.routers.length === 1 ? 'node' : 'nodes'}` : 'no exit node') : c.kind === 'range' ? c.routers.join(', ') || 'nobody carries it' : partySize(c);
const MOST_SHOWN = 60;

function MatrixView({ matrix: m, filter, of, turn, ssh, withDraft }: { matrix: Matrix; filter: string; of: string; turn: 'from' | 'to'; ssh: boolean; withDraft: boolean }) {
	const [picked, setPicked] = useState<[number, number] | null>(null), words = filter.toLowerCase(), fits = (p: Party) => !words || partyName(p).toLowerCase().includes(words) || p.examples.some(e => e.name.includes(words));
	const cells = useMemo(() => { const out = new Map<number, Cell>(); for (const c of m.cells) out.set(c.row * 1024 + c.column, c); return out; }, [m]);
	const anyRow = m.rows.some(fits), anyColumn = m.columns.some(fits);
	const rows = m.rows.map((_, i) => i).filter(i => !anyRow || fits(m.rows[i]!)), cols = m.columns.map((_, i) => i).filter(i => !anyColumn || fits(m.columns[i]!) || (words && i === 0 && m.own));
	const shownRows = rows.slice(0, MOST_SHOWN), shownCols = cols.slice(0, MOST_SHOWN), chosen = picked && cells.get(picked[0] * 1024 + picked[1]);
	const say = (cell: Cell | undefined, column: number) => !cell ? '–' : !cell.ports ? '–' : ssh ? (cell.users ?? []).join(', ') || 'anybody' : m.own && column === 0 ? text.own : m.columns[column]!.kind === 'internet' && cell.ports.all ? 'Yes' : cell.ports.all ? text.all : cell.ports.text;
	return (
		<>
			{m.rows.length + m.columns.length > 16 && <div class="search"><svg class="icon" aria-hidden="true"><use href="#i-search" /></svg><input class="input" type="search" aria-label={text.filter} placeholder={text.filter} value={filter} onInput={e => setQuery({ q: e.currentTarget.value })} /><kbd>/</kbd></div>}
			<div class="card"><div class="scroll-x" tabIndex={0} role="region" aria-label="Reach matrix">
				<table class="matrix">
					<thead><tr><th scope="col"><span class="visually-hidden">{text.from}</span></th>{shownCols.map(c => { const p = m.columns[c]!; return <th key={p.key} scope="col"><button type="button" class="party" aria-pressed={of === p.key && turn === 'to'} onClick={() => setQuery({ of: p.key, turn: 'to' })}>{capital(partyName(p))}</button><small>{columnSub(p)}</small></th>; })}</tr></thead>
					<tbody>{shownRows.map(r => {
						const p = m.rows[r]!;
						return <tr key={p.key}><th scope="row"><button type="button" class="party" aria-pressed={of === p.key && turn === 'from'} title={examples(p)} onClick={() => setQuery({ of: p.key, turn: '' })}>{capital(partyName(p))}</button><small>{partySize(p) || 'no machine now'}</small></th>{shownCols.map(c => {
							const cell = cells.get(r * 1024 + c), differs = withDraft && cell?.before !== undefined, change = !differs ? undefined : !cell!.before ? 'added' : !cell!.ports ? 'removed' : 'changed';
							return <td key={m.columns[c]!.key} data-reach={kindOf(cell, m.own && c === 0)} data-change={change}><button type="button" aria-pressed={picked?.[0] === r && picked[1] === c}
								aria-label={`${partyName(p)} to ${partyName(m.columns[c]!)}: ${cell?.ports ? say(cell, c) : 'nothing'}${change ? `, ${change} by the draft` : ''}`} onClick={() => { setPicked([r, c]); setQuery({ of: p.key, turn: '' }); }}>{change === 'removed' ? <s>{cell!.before!.all ? text.all : cell!.before!.text}</s> : say(cell, c)}</button></td>;
						})}</tr>;
					})}</tbody>
				</table>
			</div></div>
			{chosen?.ports && <p class="cell-words" role="status"><b>{capital(partyName(m.rows[picked![0]]!))}</b> reaches <b>{partyName(m.columns[picked![1]]!)}</b> on {chosen.ports.text}: {chosen.rules.map((r, i) => <Fragment key={i}>{i > 0 && ', '}{r.line ? <a href={href(`/access?line=${r.line}`)}>{ruleWords(r)}</a> : ruleWords(r)}</Fragment>)}.</p>}
			{(m.truncated || rows.length > MOST_SHOWN || cols.length > MOST_SHOWN) && <p class="muted">{text.truncated}</p>}
			<p class="legend"><span><i data-reach="all" />{text.all}</span><span><i data-reach="some" />{text.some}</span><span><i />{text.none}</span>{withDraft && <span>{text.withDraftHelp}</span>}<span class="wide-only">{text.choose}</span></p>
		</>
	);
}

// ---- the graph: From, because of which rule, To; in the policy's order -----------------------------------------------------------------

const HIGH = 58, TOP = 34, MOST_EDGES = 40;
const cut = (words: string, n: number): string => words.length > n ? `${words.slice(0, n - 1)}…` : words;
function sub(p: Party & { kind?: string; routers?: string[] }): string {
	return p.kind === 'range' ? (p.routers?.length ? `through ${p.routers.join(', ')}` : 'nobody carries it') : p.kind === 'internet' ? (p.routers?.length ? `through ${p.routers.join(' or ')}` : 'no exit node') : p.kind === 'self' ? 'each person only theirs' : examples(p) || partySize(p);
}

function GraphView({ graph: g }: { graph: Graph }) {
	const edges = g.edges.slice(0, MOST_EDGES), n = edges.length, from = g.direction === 'from', mid = TOP + (n * HIGH - 12) / 2, height = Math.max(TOP + n * HIGH, mid + 64);
	const subject = { x: from ? 0 : 784, w: 256 }, others = { x: from ? 728 : 0, w: 312 };
	const say = (e: Edge): string => partyName(from ? e.to : e.from);
	const centre = Math.max(mid, 64);
	return (
		<>
			<div class="graph-wrap"><svg class="graph" viewBox={`0 0 1041 ${height}`} role="img" aria-label={`${capital(partyName(g.of))} ${from ? 'reaches' : 'is reached by'} ${n} ${n === 1 ? 'party' : 'parties'}; the same as a list is below`}>
				<text class="head" x={from ? 0 : 0} y="14">From</text><text class="head" x="392" y="14">Because of rule</text><text class="head" x={from ? 728 : 784} y="14">To</text>
				<rect class="box" data-kind="subject" x={subject.x} y={centre - 36} width={subject.w} height="72" rx="8" />
				<text x={subject.x + 16} y={centre - 8} font-weight="600">{cut(capital(partyName(g.of)), 30)}</text><text class="sub" x={subject.x + 16} y={centre + 12}>{cut(partySize(g.of), 34)}</text><text class="sub" x={subject.x + 16} y={centre + 28}>{cut(examples(g.of), 33)}</text>
				{edges.map((e, i) => {
					const y = TOP + i * HIGH + 23, w = e.ports.all ? 3 : 1.5, p = from ? e.to : e.from;
					return (
						<Fragment key={i}>
							<path class="flow" data-change={e.change} stroke-width={w} d={from ? `M256 ${centre}C324 ${centre} 324 ${y} 392 ${y}` : `M784 ${centre}C708 ${centre} 708 ${y} 632 ${y}`} />
							<path class="flow" data-change={e.change} stroke-width={w} d={from ? `M632 ${y}H728` : `M312 ${y}H392`} />
							<rect class="box" data-kind="rule" x="392" y={y - 22} width="240" height="44" rx="6" />
							<text x="408" y={y - 3}>{capital(ruleWords(e.rule))}</text><text class="code" x="620" y={y - 3} text-anchor="end">{cut(e.ports.text, 18)}</text><text class="sub" x="408" y={y + 13}>{cut(short(e.text), 31)}</text>
							<rect class="box" data-change={e.change} x={others.x} y={y - 22} width={others.w} height="44" rx="6" />
							<text x={others.x + 16} y={y - 3} font-weight="600">{cut(capital(say(e)), 34)}</text><text class="sub" x={others.x + 16} y={y + 13}>{cut(sub(p), 42)}</text>
						</Fragment>
					);
				})}
			</svg></div>
			<div class="reach-list card"><Changes items={g.edges.map((e): ChangeItem => ({ kind: e.change === 'removed' ? 'loss' : e.change === 'added' ? 'gain' : 'pass', what: <><b>{capital(say(e))}</b>on {e.ports.text}</>, why: [sub(from ? e.to : e.from), rulesWords([e.rule])].filter(Boolean).join(' · ') }))} /></div>
			{g.edges.length > MOST_EDGES && <Notice>The drawing shows the first {MOST_EDGES} of {g.edges.length}.</Notice>}
		</>
	);
}
/** `{"src":["group:eng"],"dst":["tag:prod"],…}` as "group:eng → tag:prod". */
function short(rule: string): string {
	try {
		const r = JSON.parse(rule) as { src?: string[]; dst?: string[] };
		return `${(r.src ?? []).join(', ')} → ${(r.dst ?? []).join(', ')}`;
	} catch { return rule; }
}
