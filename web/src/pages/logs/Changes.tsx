import { useEffect, useRef, useState } from 'preact/hooks';
import { Avatar, Button, Copy, copyText, Empty, Facts, Icon, LinkButton, Skeletons } from '../../components/basics';
import { Diff } from '../../components/diff';
import { Failed, MenuButton, toast } from '../../components/overlays';
import { query as queryOf } from '../../data/api';
import { href, place, setQuery } from '../../data/router';
import { keyNames, machines, may, useResource, who as whoWords } from '../../data/store';
import { clock, day, full, now } from '../../data/time';
import type { KeysAnswer } from '../../data/keys';
import type { AuditRecord } from '../../data/types';
import { kindWords, sentence, viaWords } from '../../text/audit';
import { text } from '../../text/logs';
import { ByDay, iso, Search, SpanChip, spanOf, useLog } from './parts';

const KINDS = ['node', 'user', 'policy', 'setting', 'authkey', 'apikey', 'webhook', 'service', 'lock', 'login', 'account', 'ssh'];
const ACTORS: [string, string][] = [['user:', 'People'], ['apikey:', 'API keys'], ['cli:', 'The command line'], ['node:', 'Machines'], ['authkey:', 'Auth keys']];

/** What the address narrows the log to, as the API takes it. */
export function filterOf(query: URLSearchParams, more: Record<string, string | number | undefined> = {}): string {
	const span = spanOf(query, now.value);
	return queryOf({ since: iso(span.since), until: iso(span.until), actor: query.get('who') ?? undefined, kind: query.get('what') ?? undefined, target: query.get('q') ?? undefined, ...more });
}

export default function Changes() {
	const query = place.value.query, who = query.get('who') ?? '', what = query.get('what') ?? '', narrowed = who !== '' || what !== '' || query.has('q') || query.has('from');
	const keys = useResource<KeysAnswer>(may('auth_keys', 'read') || may('api_access_tokens', 'read') ? '/keys' : null);
	useEffect(() => { if (keys.data) keyNames.value = new Map([...keys.data.auth ?? [], ...keys.data.api ?? []].filter(k => k.description).map(k => [k.prefix, k.description])); }, [keys.data]);
	// The span's begin moves by the minute: it must not ask again each time.
	const key = ['span', 'from', 'to', 'who', 'what', 'q'].map(k => query.get(k) ?? '').join('\n'), path = useRef({ key: '', path: '' });
	if (path.current.key !== key) path.current = { key, path: `/audit${filterOf(query, { limit: 60, order: 'desc' })}` };
	const log = useLog<AuditRecord>(path.current.path, ['machine', 'user', 'key', 'policy', 'setting', 'webhook', 'identity', 'session', 'service', 'lock', 'login', 'ssh']);
	return (
		<>
			<div class="toolbar">
				<Search label="Search changes" hint={text.search.changes!} />
				<SpanChip />
				<MenuButton chip iconOnly={false} icon={who ? 'check' : 'plus'} label={who ? ACTORS.find(a => a[0] === who)?.[1] ?? whoWords(who) : text.who} items={() => [{ text: text.anybody, checked: !who, run: () => setQuery({ who: '' }) }, ...ACTORS.map(([key, words]) => ({ text: words, checked: who === key, run: () => setQuery({ who: key }) }))]} />
				<MenuButton chip iconOnly={false} icon={what ? 'check' : 'plus'} label={what ? kindWords(what).replace(/^./, c => c.toUpperCase()) : text.what} items={() => [{ text: text.anything, checked: !what, run: () => setQuery({ what: '' }) }, ...KINDS.map(k => ({ text: kindWords(k).replace(/^./, c => c.toUpperCase()), checked: what === k, run: () => setQuery({ what: k }) }))]} />
			</div>
			<Histogram filter={path.current.path.replace(/^\/audit\??/, '').replace(/&?(limit|order)=[^&]*/g, '')} />
			{log.fresh > 0 && <button type="button" class="fresh" onClick={log.showFresh}>{text.fresh(log.fresh)}</button>}
			{log.error && <Failed what="the log" error={log.error} onRetry={log.retry} />}
			{log.rows.length > 0 ? <ByDay rows={log.rows} at={r => Date.parse(r.time)} draw={r => <Entry key={r.id} record={r} />} />
				: log.loading ? <Skeletons rows={8} /> : !log.error && <Empty title={text.none} actions={narrowed ? <Button label={text.clear} onClick={() => setQuery({ who: '', what: '', q: '', from: '', to: '' })} /> : undefined}>{text.noneText}</Empty>}
			{log.rows.length > 0 && (log.more ? <p><Button label={text.more} onClick={log.more} /></p> : !log.loading && <p class="muted">{text.end} <a href={href('/settings/about')}>{text.endSetting}</a></p>)}
		</>
	);
}

/** The bars are the time filter: click one, or drag over several. */
function Histogram({ filter }: { filter: string }) {
	const answer = useResource<{ sinceMs: number; bucketMs: number; counts: number[] }>(`/audit/histogram?${filter}${filter ? '&' : ''}buckets=72`), [drag, setDrag] = useState<[number, number] | null>(null);
	const data = answer.data;
	if (!data || !data.counts.length) return null;
	const n = data.counts.length, top = Math.max(...data.counts, 1), total = data.counts.reduce((a, b) => a + b, 0);
	const at = (e: PointerEvent): number => { const box = (e.currentTarget as Element).getBoundingClientRect(); return Math.max(0, Math.min(n - 1, Math.floor((e.clientX - box.left) / box.width * n))); };
	const choose = (a: number, b: number) => setQuery({ from: String(data.sinceMs + Math.min(a, b) * data.bucketMs), to: String(data.sinceMs + (Math.max(a, b) + 1) * data.bucketMs), span: '' }, { replace: false });
	const label = (i: number) => { const ms = data.sinceMs + i * data.bucketMs; return data.bucketMs * n > 2 * 86_400_000 ? day(ms) : clock(ms); };
	return (
		<figure class="wide-only">
			<svg class="histogram" viewBox={`0 0 ${n * 10} 56`} preserveAspectRatio="none" role="img" aria-label={text.histogram(total)}
				onPointerDown={e => { (e.currentTarget as Element).setPointerCapture(e.pointerId); setDrag([at(e), at(e)]); }} onPointerMove={e => { if (drag) setDrag([drag[0], at(e)]); }}
				onPointerUp={() => { if (drag) { setDrag(null); choose(...drag); } }} onPointerCancel={() => setDrag(null)}>
				{drag && <rect class="chosen" x={Math.min(...drag) * 10} width={(Math.abs(drag[1] - drag[0]) + 1) * 10} height="56" />}
				{data.counts.map((count, i) => count > 0 && <rect key={i} x={i * 10 + 1} width="8" y={56 - Math.max(count / top * 52, 2)} height={Math.max(count / top * 52, 2)} />)}
			</svg>
			<div class="axis" aria-hidden="true">{[0, 1, 2, 3].map(i => <span key={i}>{label(Math.floor(i * n / 4))}</span>)}</div>
		</figure>
	);
}

const pretty = (value: unknown): string => value === null || value === undefined ? '' : JSON.stringify(value, null, 2);
const LINKS: Record<string, (r: AuditRecord) => string | null> = {
	node: r => machines.value.byId.has(r.targetId) ? `/machines/${r.targetId}` : null, user: r => r.action === 'delete' ? null : `/users/${r.targetId}`, policy: () => '/access/history', setting: r => r.target.startsWith('dns.') ? '/dns' : '/settings/general',
};
/** Its sentence with what it is about in bold; the way there is below, for a summary takes no links. */
function Sentence({ record: r }: { record: AuditRecord }) {
	const words = sentence(r), name = r.kind === 'policy' ? 'access policy' : r.target, at = name ? words.indexOf(name) : -1;
	if (at < 0) return <>{words}</>;
	return <>{words.slice(0, at)}<b>{name}</b>{words.slice(at + name.length)}</>;
}
function Entry({ record: r }: { record: AuditRecord }) {
	const [open, setOpen] = useState(false), who = whoWords(r.actor), to = LINKS[r.kind]?.(r), ms = Date.parse(r.time);
	const version = r.kind === 'policy' ? (r.after as { version?: number } | null)?.version : undefined, note = r.kind === 'policy' ? (r.after as { note?: string } | null)?.note : undefined;
	return (
		<details onToggle={e => setOpen((e.currentTarget as HTMLDetailsElement).open)}>
			<summary>
				<Icon name="right" /><time dateTime={r.time} title={full(r.time)}>{clock(r.time)}</time>
				<span class="row who"><Avatar name={who} icon={r.actor.startsWith('node:') || r.actor.startsWith('machine:') ? 'machine' : r.actor.includes('key:') ? 'key' : undefined} /><span class="truncate">{who}</span></span>
				<span class="what"><Sentence record={r} /></span><span class="via">{viaWords(r.via)}</span>
			</summary>
			{open && <div class="detail">
				{note && <p>“{note}”</p>}
				<Facts rows={[['What', `${r.action} of ${kindWords(r.kind)} ${r.target || r.targetId}`], r.address && ['From', <Copy text={r.address} what="address" />], ['When', full(r.time)], ['Entry', <Copy text={r.id} what="entry number" code />]]} />
				{(pretty(r.before) || pretty(r.after)) && <div class="card"><Diff before={pretty(r.before)} after={pretty(r.after)} label="Before and after" context={3} /></div>}
				<div class="toolbar">
					{version ? <LinkButton label={`Open version ${version}`} size="small" href={href(`/access/history/${version}`)} /> : to && <LinkButton label="Open it" size="small" href={href(to)} />}
					<Button label={text.copyJson} kind="quiet" size="small" icon="copy" onClick={() => void copyText(JSON.stringify(r, null, 2)).then(done => done && toast(text.copied))} />
					<LinkButton label={text.around} kind="quiet" size="small" href={href(`/logs/connections?from=${ms - 600_000}&to=${ms + 600_000}`)} />
				</div>
			</div>}
		</details>
	);
}
