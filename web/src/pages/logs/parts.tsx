import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from '../../components/basics';
import { MenuButton } from '../../components/overlays';
import { ApiError, get } from '../../data/api';
import { place, setQuery } from '../../data/router';
import { onChanges } from '../../data/store';
import { dayHead, now } from '../../data/time';
import { text } from '../../text/logs';

const DAY = 86_400_000;
const SPANS: Record<string, number> = { '1d': DAY, '4d': 4 * DAY, '30d': 30 * DAY };
/** The span that the address says; it ends now unless `to` is there. */
export function spanOf(query: URLSearchParams, nowMs: number): { since: number; until: number } {
	const from = Number(query.get('from')) || 0, to = Number(query.get('to')) || 0;
	if (from || to) return { since: from, until: to };
	const span = query.get('span') ?? '4d';
	return { since: SPANS[span] ? Math.floor((nowMs - SPANS[span]) / 60_000) * 60_000 : 0, until: 0 };
}
export const iso = (ms: number): string | undefined => ms ? new Date(ms).toISOString().replace(/\.\d+Z/, 'Z') : undefined;

export function Search({ label, hint }: { label: string; hint: string }) {
	const q = place.value.query.get('q') ?? '', [typed, setTyped] = useState(q), timer = useRef(0);
	useEffect(() => setTyped(q), [q]);
	return (
		<div class="search"><Icon name="search" /><input class="input" type="search" aria-label={label} placeholder={hint} value={typed} onInput={e => {
			const words = e.currentTarget.value;
			setTyped(words);
			clearTimeout(timer.current);
			timer.current = window.setTimeout(() => setQuery({ q: words }), 250);
		}} /><kbd>/</kbd></div>
	);
}
export function SpanChip() {
	const query = place.value.query, custom = query.has('from') || query.has('to'), span = query.get('span') ?? '4d';
	return <MenuButton chip iconOnly={false} icon="calendar" label={custom ? 'Chosen span' : text.spans[span] ?? span} items={() => Object.entries(text.spans).map(([key, words]) => ({ text: words, checked: !custom && key === span, run: () => setQuery({ span: key === '4d' ? '' : key, from: '', to: '' }) }))} />;
}

/** A list by cursor that grows downwards; what came meanwhile waits behind a button while somebody reads further down. */
export function useLog<T extends { id: string }>(path: string, kinds: string[]): { rows: T[]; error: ApiError | null; loading: boolean; more: (() => void) | null; fresh: number; showFresh: () => void; retry: () => void; look: () => void } {
	const [rows, setRows] = useState<T[]>([]), [next, setNext] = useState<string | null>(null), [error, setError] = useState<ApiError | null>(null), [loading, setLoading] = useState(true), [waiting, setWaiting] = useState<T[]>([]);
	const turn = useRef(0), of = useRef(path), have = useRef<T[]>([]);
	have.current = rows;
	const load = (page: string | null) => {
		const mine = page ? turn.current : ++turn.current;
		setLoading(true);
		get<{ records: T[]; next?: string | null }>(path + (page ? `${path.includes('?') ? '&' : '?'}page=${encodeURIComponent(page)}` : '')).then(answer => {
			if (mine !== turn.current) return;
			setError(null);
			setLoading(false);
			setNext(answer.next ?? null);
			setRows(before => page ? [...before, ...answer.records] : answer.records);
			if (!page) setWaiting([]);
		}, (e: unknown) => { if (mine === turn.current) { setError(e instanceof ApiError ? e : new ApiError(String(e), 0)); setLoading(false); } });
	};
	const look = () => void get<{ records: T[] }>(path).then(answer => {
		const known = new Set(have.current.map(r => r.id)), unseen = answer.records.filter(r => !known.has(r.id));
		if (!unseen.length) return;
		if (scrollY < 80) setRows(before => [...unseen, ...before]); else setWaiting(unseen);
	}, () => { /* the next time asks again */ });
	useEffect(() => {
		if (of.current !== path) { of.current = path; setRows([]); }
		load(null);
		let timer = 0;
		const off = onChanges(kinds, () => {
			timer ||= window.setTimeout(() => {
				timer = 0;
				look();
			}, 400);
		});
		return () => { off(); clearTimeout(timer); };
	}, [path]);
	return {
		rows, error, loading, more: next && !loading ? () => load(next) : null, fresh: waiting.length, retry: () => load(null), look,
		showFresh: () => { setRows(before => [...waiting, ...before]); setWaiting([]); scrollTo(0, 0); },
	};
}

/** Rows under headings of days. */
export function ByDay<T>({ rows, at, draw }: { rows: T[]; at: (row: T) => number; draw: (row: T) => ComponentChildren }) {
	let last = '';
	return <div class="log">{rows.map(row => {
		const head = dayHead(at(row), now.value), first = head !== last;
		last = head;
		return <>{first && <p class="day" key={`d/${head}`}>{head}</p>}{draw(row)}</>;
	})}</div>;
}
