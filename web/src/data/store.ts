// What is in memory, as signals: who I am, the machines, what needs attention, and anything a page asked for (useResource).
import { computed, effect, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { ApiError, get, leave, setCsrf } from './api';
import { asking, emptyMachines, reduceMachines, stale, type Machine, type MachineAction } from './machines';
import { actorWords } from '../text/actors';
import { serverNow, setServerTime } from './time';
import type { Attention, Change, MachineColumns, MachineRow, Me, Region, Scope } from './types';

export const me = signal<Me | null>(null);
export const machines = signal(emptyMachines());
export const attention = signal<Attention>({ counts: { machines: 0, users: 0, access: 0, routes: 0, relays: 0, keys: 0, settings: 0 }, items: [] });
export const regions = signal<Map<number, Region>>(new Map());
export const regionNames = computed(() => new Map([...regions.value].map(([id, r]) => [id, r.name || r.code])));
/** All machines. Of a large list, changes show here some times a second; rows that are drawn read `machines` and show them at once. */
export const machineList = signal<Machine[]>([]);
const LARGE = 1500, CALM_MS = 400;
let calmTimer = 0, calmedAt = 0;
effect(() => {
	const { byId, loaded } = machines.value, was = machineList.peek().length;
	const take = () => { calmTimer = 0; calmedAt = performance.now(); machineList.value = [...machines.peek().byId.values()]; };
	if (byId.size <= LARGE || !was || !loaded) { clearTimeout(calmTimer); take(); }
	else if (!calmTimer) calmTimer = setTimeout(take, Math.max(0, calmedAt + CALM_MS - performance.now())) as unknown as number;
});
export const listError = signal<ApiError | null>(null);

/** May the caller do (or read) this? The server decides again. */
export function may(scope: Scope, what: 'read' | 'write' = 'write'): boolean {
	const has = me.value?.may[scope] ?? me.value?.may.all;
	return what === 'read' ? has !== undefined : has === 'write' || me.value?.may.all === 'write';
}
const ROLE_WORDS: Record<string, string> = { owner: 'owner', admin: 'admin', 'network-admin': 'network admin', 'it-admin': 'IT admin', auditor: 'auditor', 'billing-admin': 'billing admin', member: 'member' };
/** Why a button is off: "Your role, auditor, can look at machines but not change them." */
export const reason = (scope: Scope, things: string): string | undefined =>
	may(scope) ? undefined : `Your role, ${ROLE_WORDS[me.value?.user?.role ?? ''] ?? 'this key'}, can look at ${things} but not change them.`;

export const dispatch = (action: MachineAction): void => { machines.value = reduceMachines(machines.value, action); };
export const putMachine = (row: MachineRow): void => dispatch({ type: 'row', row, nowMs: serverNow() });

/** People by id and keys by prefix, as a page that lists them has learned. */
export const keyNames = signal(new Map<string, string>());
export const personName = (id: string): string => { const o = machines.value.owners.get(id); return o ? o.displayName || o.name : ''; };

/** Who a log record or a version names: people by the name that others see, machines by theirs. */
export function who(actor: string): string {
	const [kind, name = ''] = actor.split(/:(.*)/s);
	if (kind === 'user') { for (const o of machines.value.owners.values()) if (o.name === name) return o.displayName || name; }
	if (kind === 'authkey' || kind === 'apikey') { const called = keyNames.value.get(name); if (called) return `${kind === 'authkey' ? 'Auth key' : 'API key'} ${called}`; }
	if (kind === 'node') return machines.value.byId.get(name)?.name ?? actorWords(actor);
	return actorWords(actor);
}

// ---- loading -------------------------------------------------------------------------------------------------------------

export async function loadMe(): Promise<Me> {
	const answer = await get<Me>('/me');
	setCsrf(answer.csrf);
	me.value = answer;
	return answer;
}

/** What changed about me or the server while the page was open; shown until it is closed. */
export const news = signal<{ kind: 'role'; role: string } | { kind: 'version'; version: string } | null>(null);
/** The stream was cut and is there again: who I am, and which server it is, may have changed. */
export function again(): void {
	const before = me.peek();
	void get<Me>('/me').then(answer => {
		setCsrf(answer.csrf);
		const role = answer.user?.role ?? '';
		if (before && before.user?.role !== role) {
			news.value = { kind: 'role', role: ROLE_WORDS[role] ?? role };
			resync();
		} else if (before && before.server.version !== answer.server.version) news.value = { kind: 'version', version: answer.server.version };
		me.value = answer;
	}, error => { if (error instanceof ApiError && error.status === 403) void leave('/my'); });
}

let listing: Promise<void> | null = null, listFailures = 0;
export const listRetryAt = signal(0);
export function loadMachines(): Promise<void> {
	listing ??= get<MachineColumns>('/machines').then(answer => {
		setServerTime(answer.nowMs);
		dispatch({ type: 'list', answer });
		listError.value = null;
		listFailures = listRetryAt.value = 0;
	}, error => {
		if (!(error instanceof ApiError)) return;
		listError.value = error;
		if (!mayPass(error)) return;
		const wait = waitFor(error, listFailures++);
		listRetryAt.value = Date.now() + wait;
		setTimeout(() => { if (listRetryAt.peek()) void loadMachines(); }, wait);
	}).finally(() => { listing = null; });
	return listing;
}

const MOST_IDS = 500; // what GET /machines?ids= takes
let wanted = new Set<string>(), wanting = 0;
function want(ids: string[]): void {
	for (const id of ids) wanted.add(id);
	if (!wanted.size || wanting) return;
	wanting = window.setTimeout(() => {
		const all = [...wanted];
		wanted = new Set();
		wanting = 0;
		if (all.length > 4 * MOST_IDS) { void loadMachines(); return; }
		for (let i = 0; i < all.length; i += MOST_IDS) {
			const ids = all.slice(i, i + MOST_IDS);
			get<MachineColumns>(`/machines?ids=${ids.join(',')}`).then(answer => dispatch({ type: 'some', ids, answer }), () => { /* the next event or resync asks again */ });
		}
	}, 60);
}

export async function loadAttention(): Promise<void> {
	try {
		const answer = await get<Attention>('/attention');
		asking.ids = new Set(answer.items.filter(i => i.kind === 'service-waits' || i.kind === 'machine-refused').map(i => i.machine));
		attention.value = answer;
	} catch { /* badges stay as they were */ }
}
let attending = 0;
const wantAttention = (): void => { attending ||= window.setTimeout(() => { attending = 0; void loadAttention(); }, 500); };

export async function loadRegions(): Promise<void> {
	if (!may('networking_settings', 'read')) return;
	try {
		const answer = await get<{ regions: Region[] }>('/relays');
		regions.value = new Map(answer.regions.map(r => [r.id, r]));
	} catch { /* numbers instead of names */ }
}

// ---- events ---------------------------------------------------------------------------------------------------------------

type Listener = (changes: Change[]) => void;
const listeners = new Set<Listener>();
/** Calls back with the changes of these kinds as they come. A resync comes as one change with id ''. */
export function onChanges(kinds: string[], listener: Listener): () => void {
	const mine: Listener = changes => {
		const fit = changes.filter(c => kinds.includes(c.kind) || c.kind === '*');
		if (fit.length) listener(fit);
	};
	listeners.add(mine);
	return () => listeners.delete(mine);
}

let queue: Change[] = [], frame = 0;
/** Changes from the stream: they wait for the next frame, so that a burst is drawn once. */
export function receive(changes: Change[], attentionToo: boolean): void {
	queue.push(...changes);
	if (attentionToo) wantAttention();
	frame ||= requestOrTimeout(() => {
		const all = queue;
		queue = [];
		frame = 0;
		if (all.some(c => c.kind === 'machine')) {
			const ids = stale(machines.value, all);
			dispatch({ type: 'events', changes: all, nowMs: serverNow() });
			want(ids);
		}
		for (const listener of [...listeners]) listener(all);
	});
}
// A hidden tab has no frames, but must not fall behind either.
const requestOrTimeout = (run: () => void): number => document.hidden ? window.setTimeout(run, 200) : requestAnimationFrame(run);

/** Something was missed: everything that is shown is asked for again, quietly. */
export function resync(): void {
	void loadMachines();
	void loadAttention();
	for (const listener of [...listeners]) listener([{ kind: '*', id: '', action: 'update' }]);
}

// ---- what pages ask for ------------------------------------------------------------------------------------------------------

export type Resource<T> = { data: T | undefined; error: ApiError | undefined; loading: boolean; retryAt: number; reload: () => void; set: (data: T) => void };
/** A failure that may pass by itself, and when to try again. */
const mayPass = (e: ApiError): boolean => e.status === 0 || e.status >= 500 || e.status === 429;
const waitFor = (e: ApiError, failures: number): number => Math.max(e.retryAfter, Math.min(30, 2 ** failures)) * 1000;
type Entry = { state: ReturnType<typeof signal<{ data?: unknown; error?: ApiError; loading: boolean; retryAt: number }>>; run: () => void; timer: number; asked: number };
const cache = new Map<string, Entry>();
const MOST_CACHED = 60;

function entryOf(path: string): Entry {
	let entry = cache.get(path);
	if (entry) return entry;
	const state = signal<{ data?: unknown; error?: ApiError; loading: boolean; retryAt: number }>({ loading: false, retryAt: 0 });
	let turn = 0, failures = 0;
	entry = {
		state, timer: 0, asked: 0,
		run: () => {
			const mine = ++turn, e = entry!;
			clearTimeout(e.timer);
			e.asked = Date.now();
			state.value = { ...state.value, loading: true };
			get<unknown>(path).then(data => {
				failures = 0;
				if (mine === turn) state.value = { data, loading: false, retryAt: 0 };
			}, (error: unknown) => {
				if (mine !== turn) return;
				const known = error instanceof ApiError ? error : new ApiError(String(error), 0);
				const again = mayPass(known), wait = again ? waitFor(known, failures++) : 0;
				state.value = { data: known.status === 404 ? undefined : state.value.data, error: known, loading: false, retryAt: again ? Date.now() + wait : 0 };
				if (again) e.timer = window.setTimeout(() => { if (users.get(path)) e.run(); }, wait);
			});
		},
	};
	cache.set(path, entry);
	if (cache.size > MOST_CACHED) for (const [key] of cache) if (!users.get(key)) { cache.delete(key); break; }
	return entry;
}
const users = new Map<string, number>();

/** GET `path` (null: not yet): what is in memory shows at once and is asked for again; so it is when changes of `kinds` come. */
export function useResource<T>(path: string | null, kinds: string[] = []): Resource<T> {
	const entry = useMemo(() => path === null ? null : entryOf(path), [path]);
	useEffect(() => {
		if (!entry || path === null) return;
		users.set(path, (users.get(path) ?? 0) + 1);
		entry.run();
		let timer = 0;
		const off = onChanges(kinds, () => { timer ||= window.setTimeout(() => { timer = 0; entry.run(); }, 150); });
		return () => { off(); clearTimeout(timer); users.set(path, users.get(path)! - 1); };
	}, [entry]);
	const state = entry?.state.value;
	return {
		data: state?.data as T | undefined, error: state?.error, loading: state?.loading ?? false, retryAt: state?.retryAt ?? 0,
		reload: () => entry?.run(), set: data => { if (entry) entry.state.value = { data, loading: false, retryAt: 0 }; },
	};
}
/** Asks again for what is in memory below these paths, after an act of our own. */
export function refresh(...prefixes: string[]): void {
	for (const [path, entry] of cache) if (prefixes.some(p => path.startsWith(p))) { if (users.get(path)) entry.run(); else cache.delete(path); }
}
