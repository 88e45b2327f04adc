// Machines in memory: one reducer for the list, for single rows and for events. No DOM here; tests/machines.test.ts asks it everything.
import { FLAG, type Change, type MachineColumns, type MachineRow, type Owner } from './types';

const MINUTE = 60_000, DAY_MINUTES = 1440;

export type Machine = MachineRow & {
	owner: string;          // what a person calls its owner: display name, or '' for tagged machines
	ownerName: string;      // login name
	asOfMs: number;         // presence counts from a day before this
	hay: string;            // lower case: what free words are looked for in
	order: string;          // sorts by name as people count: web-2 before web-10
	changed: number;        // counts up with each change that is worth a tint; 0 since the list was loaded
	changedMs: number;      // when that was
};

export type MachineState = { byId: Map<string, Machine>; owners: Map<string, Owner>; newest: string; loaded: boolean; stamp: number };

export type MachineAction =
	| { type: 'list'; answer: MachineColumns }                             // the whole list: what is not in it is gone
	| { type: 'some'; ids: string[]; answer: MachineColumns }              // these were asked for: the missing ones are gone
	| { type: 'row'; row: MachineRow; nowMs: number }                      // an action's answer
	| { type: 'events'; changes: Change[]; nowMs: number };                // comings, goings, deletions; the rest has to be asked for (see stale)

export const emptyMachines = (): MachineState => ({ byId: new Map(), owners: new Map(), newest: '', loaded: false, stamp: 0 });

function finish(row: MachineRow, owners: Map<string, Owner>, asOfMs: number, changed: number, changedMs: number): Machine {
	const owner = row.user ? owners.get(row.user) : undefined, ownerName = owner?.name ?? '', shown = owner ? owner.displayName || owner.name : '';
	const hay = [row.name, row.host, row.v4, row.v6, shown, ownerName, row.os, row.osVersion, row.version, row.id, ...row.tags].join('\n').toLowerCase();
	const order = row.name.toLowerCase().replace(/\d+/g, digits => digits.padStart(8, '0'));
	return { ...row, owner: shown, ownerName, asOfMs, hay, order, changed, changedMs };
}

export function rowsOf(answer: MachineColumns): MachineRow[] {
	const c = answer.columns, text = (i: number) => answer.strings[i] ?? '';
	return c.id.map((id, i) => ({
		id, name: c.name[i]!, host: c.host[i]!, v4: c.v4[i]!, v6: c.v6[i]!, user: c.user[i]! < 0 ? '' : answer.owners[c.user[i]!]?.id ?? '', tags: c.tags[i]!,
		os: text(c.os[i]!), osVersion: text(c.osVersion[i]!), version: text(c.version[i]!), flags: c.flags[i]!, seenMs: c.seenMs[i]!, createdMs: c.createdMs[i]!,
		expiresMs: c.expiresMs[i]!, relay: c.relay[i]!, routes: c.routes[i]!, approved: c.approved[i]!, presence: c.presence[i]!,
	}));
}

/** Appends the state that begins at `atMs`, which is not before the last one. */
function present(m: Machine, online: boolean, atMs: number): number[] {
	const now = isOnlineAtEnd(m.presence);
	if (now === online) return m.presence;
	const last = m.presence.length > 1 ? m.presence[m.presence.length - 1]! : 0;
	const at = Math.max(last, Math.round((atMs - m.asOfMs) / MINUTE) + DAY_MINUTES);
	const first = m.presence[0] ?? 0;
	// "Not there yet" turns into online: afterwards the states alternate, so 2 counts as offline.
	return m.presence.length === 0 ? [online ? 1 : 0] : [first, ...m.presence.slice(1), at];
}
function isOnlineAtEnd(presence: number[]): boolean {
	const changes = Math.max(presence.length - 1, 0), first = presence[0] === 1;
	return changes % 2 === 0 ? first : !first;
}

const TINTED = ['name', 'v4', 'user', 'version', 'flags'] as const;
const differs = (a: Machine, b: Machine): boolean => TINTED.some(key => a[key] !== b[key]) || a.tags.join() !== b.tags.join() || a.approved.join() !== b.approved.join() || a.routes.join() !== b.routes.join();

export function reduceMachines(state: MachineState, action: MachineAction): MachineState {
	const { byId, owners } = state, stamp = state.stamp + 1;
	const put = (row: MachineRow, nowMs: number) => {
		const old = byId.get(row.id), next = finish(row, owners, nowMs, old?.changed ?? (state.loaded ? stamp : 0), old?.changedMs ?? (state.loaded ? nowMs : 0));
		if (old && differs(old, next)) { next.changed = stamp; next.changedMs = nowMs; }
		byId.set(row.id, next);
	};
	switch (action.type) {
		case 'list':
		case 'some': {
			for (const owner of action.answer.owners) owners.set(owner.id, owner);
			const rows = rowsOf(action.answer), here = new Set(rows.map(row => row.id));
			for (const row of rows) put(row, action.answer.nowMs);
			for (const id of action.type === 'some' ? action.ids : [...byId.keys()]) if (!here.has(id)) byId.delete(id);
			return { byId, owners, stamp, loaded: state.loaded || action.type === 'list', newest: newer(action.answer.newest, state.newest) };
		}
		case 'row':
			put(action.row, action.nowMs);
			return { ...state, stamp };
		case 'events':
			for (const change of action.changes) {
				if (change.kind !== 'machine') continue;
				const m = byId.get(change.id);
				if (!m) continue;
				if (change.action === 'delete') byId.delete(change.id);
				else if (change.action === 'online' || change.action === 'offline') {
					const online = change.action === 'online', atMs = change.atMs ?? action.nowMs;
					byId.set(m.id, { ...m, flags: online ? m.flags | FLAG.online : m.flags & ~FLAG.online, seenMs: Math.max(m.seenMs, atMs), presence: present(m, online, atMs), changed: stamp, changedMs: action.nowMs });
				}
			}
			return { ...state, stamp };
	}
}

/** Which machines an event's changes say too little about: their rows have to be asked for. */
export function stale(state: MachineState, changes: Change[]): string[] {
	const out = new Set<string>();
	for (const c of changes) {
		if (c.kind !== 'machine' || c.action === 'delete') continue;
		if (c.action === 'online' || c.action === 'offline' ? !state.byId.has(c.id) : true) out.add(c.id);
	}
	return [...out];
}

export function compareVersions(a: string, b: string): number {
	const x = a.split(/[.-]/), y = b.split(/[.-]/);
	for (let i = 0; i < 3; i++) {
		const d = (parseInt(x[i] ?? '0', 10) || 0) - (parseInt(y[i] ?? '0', 10) || 0);
		if (d) return d;
	}
	return 0;
}
const newer = (a: string, b: string): string => compareVersions(a, b) >= 0 ? a : b;

/** Behind by a minor version or more: a patch is nobody's business. */
export const isBehind = (version: string, newest: string): boolean => {
	const minor = (v: string) => v.split('.').slice(0, 2).join('.');
	return version !== '' && newest !== '' && compareVersions(minor(version), minor(newest)) < 0;
};

/** Runs of connected minutes in the last `span` minutes before `nowMs`, of a presence that counts from `span` before `asOfMs`. */
export function presenceRuns(presence: number[], asOfMs: number, nowMs: number, span = DAY_MINUTES): [number, number][] {
	const shift = Math.max(0, Math.round((nowMs - asOfMs) / MINUTE)), out: [number, number][] = [];
	let online = presence[0] === 1, from = 0;
	const clip = (a: number, b: number) => {
		const start = Math.max(0, a - shift), end = Math.min(span, b - shift);
		if (end > start) out.push([start, end]);
	};
	for (const t of presence.slice(1)) {
		if (online) clip(from, t);
		online = !online;
		from = t;
	}
	if (online) clip(from, span + shift);
	return out;
}

/** The strip in one sentence. `born`: minutes into the strip at which the machine joined, 0 when it was there before. */
export function presenceWords(runs: [number, number][], span = DAY_MINUTES, day = 'day', born = 0): string {
	if (!runs.length) return born ? 'Not connected yet' : `Not connected in the last ${day}`;
	const on = runs.reduce((sum, [a, b]) => sum + b - a, 0), gaps = runs.length - 1 + (runs[runs.length - 1]![1] < span ? 1 : 0), whole = Math.max(span - born, 1);
	if (on >= whole - 1) return born ? 'Connected since it joined' : `Connected all ${day}`;
	const percent = Math.min(99.9, on / whole * 100), of = born ? 'the time since it joined' : `the last ${day}`;
	return `Connected ${percent >= 99 ? percent.toFixed(1) : Math.round(percent)} % of ${of}${gaps > 0 ? `, ${gaps} ${gaps === 1 ? 'gap' : 'gaps'}` : ''}`;
}
/** Of a row's own strip. */
export const dayWords = (m: Machine, runs: [number, number][]): string => presenceWords(runs, DAY_MINUTES, 'day', m.presence[0] === 2 ? m.presence[1] ?? DAY_MINUTES : 0);

// ---- what a machine asks for, and what it is -------------------------------------------------------------------------

export const has = (m: { flags: number }, flag: keyof typeof FLAG): boolean => (m.flags & FLAG[flag]) !== 0;
export const isTagged = (m: { tags: string[] }): boolean => m.tags.length > 0;
export const isRouter = (m: { flags: number }): boolean => (m.flags & (FLAG.subnets | FLAG.exitApproved)) !== 0;
export const isExpired = (m: Machine, nowMs: number): boolean => has(m, 'expired') || (!has(m, 'noExpiry') && m.expiresMs > 0 && m.expiresMs <= nowMs);
const SOON = 7 * 86_400_000;
export const expiresSoon = (m: Machine, nowMs: number): boolean => !isExpired(m, nowMs) && !has(m, 'noExpiry') && m.expiresMs > 0 && m.expiresMs - nowMs < SOON && !has(m, 'ephemeral');

/** Ids of machines that the attention list names for what their rows do not tell: a service that waits, a report that was refused. */
export const asking = { ids: new Set<string>() };

/** 0: asks for nothing; else the smaller the more urgent. What waits long stays longer on top than what expires. */
export function urgency(m: Machine, nowMs: number): number {
	if (has(m, 'waits')) return 1;
	if (has(m, 'routesWait') || (has(m, 'exitOffered') && !has(m, 'exitApproved'))) return 2;
	if (has(m, 'lockedOut')) return 3;
	if (expiresSoon(m, nowMs)) return 4;
	if (isExpired(m, nowMs)) return 5;
	return asking.ids.has(m.id) ? 6 : 0;
}
export const stateOf = (m: Machine, nowMs: number): 'online' | 'offline' | 'waiting' | 'blocked' =>
	has(m, 'waits') ? 'waiting' : isExpired(m, nowMs) || has(m, 'ownerSuspended') || has(m, 'lockedOut') ? 'blocked' : has(m, 'online') ? 'online' : 'offline';
