// The filter language of the machines list: words and tokens, all of which must hold. tests/filter.test.ts
//   is:online tag:prod owner:mia os:linux version:<1.96 seen:>7d addr:100.64. relay:nue route:10.40.0.0/16 name:db  -is:online  "two words"
import { compareVersions, expiresSoon, has, isExpired, isRouter, isTagged, urgency, type Machine } from './machines';

export type Token = { key: string; value: string; not: boolean; text: string; from: number; to: number; wrong?: string };
export type Context = { nowMs: number; me: string; regions: Map<number, string> };

export const IS = ['online', 'offline', 'waiting', 'attention', 'expired', 'expiring', 'ephemeral', 'tagged', 'router', 'exit', 'ssh', 'behind', 'locked'] as const;
export const KEYS = ['is', 'tag', 'owner', 'os', 'version', 'seen', 'addr', 'relay', 'route', 'name'] as const;

export function parse(text: string): Token[] {
	const out: Token[] = [];
	for (const m of text.matchAll(/(-)?(?:([a-z]+):("[^"]*"?|\S*)|("[^"]*"?|\S+))/g)) {
		const not = Boolean(m[1]), key = m[2] ?? '', raw = m[3] ?? m[4] ?? '';
		const token: Token = { key, value: raw.replace(/^"|"$/g, '').toLowerCase(), not, text: m[0], from: m.index, to: m.index + m[0].length };
		if (key && !(KEYS as readonly string[]).includes(key)) { token.key = ''; token.value = m[0].toLowerCase(); }
		else if (key === 'is' && token.value && !(IS as readonly string[]).includes(token.value)) token.wrong = `is:${token.value} is not known`;
		else if (key === 'seen' && token.value && !/^[<>]?\d+(m|h|d|w)$/.test(token.value)) token.wrong = 'seen: wants a time, like seen:>7d';
		out.push(token);
	}
	return out;
}

const UNIT: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const operator = (value: string): [string, string] => { const m = /^(<=|>=|<|>|=)?(.*)$/.exec(value)!; return [m[1] ?? '', m[2]!]; };
const holds = (op: string, d: number): boolean => op === '<' ? d < 0 : op === '<=' ? d <= 0 : op === '>' ? d > 0 : op === '>=' ? d >= 0 : d === 0;

// ---- addresses inside prefixes, IPv4 and IPv6 --------------------------------------------------------------------------
export function address(text: string): bigint | undefined {
	if (/^\d+\.\d+\.\d+\.\d+$/.test(text)) {
		const parts = text.split('.').map(Number);
		return parts.some(p => p > 255) ? undefined : parts.reduce((sum, p) => sum * 256n + BigInt(p), 0n);
	}
	if (!/^[0-9a-f:]+$/.test(text) || !text.includes(':')) return undefined;
	const halves = text.split('::');
	if (halves.length > 2) return undefined;
	const left = halves[0] ? halves[0].split(':') : [], right = halves[1] ? halves[1].split(':') : [];
	const gap = 8 - left.length - right.length;
	if (halves.length === 2 ? gap < 1 : gap !== 0) return undefined;
	const groups = [...left, ...Array.from({ length: halves.length === 2 ? gap : 0 }, () => '0'), ...right];
	return groups.reduce((sum, g) => sum * 65536n + BigInt(parseInt(g || '0', 16)), 0n);
}
/** Does the prefix hold the address, or the other prefix wholly? */
export function contains(prefix: string, inner: string): boolean {
	const [p, bitsText] = prefix.split('/'), [a, innerBits] = inner.split('/');
	const base = address(p ?? ''), at = address(a ?? '');
	if (base === undefined || at === undefined || p!.includes(':') !== a!.includes(':')) return false;
	const width = p!.includes(':') ? 128 : 32, bits = bitsText === undefined ? width : Number(bitsText);
	if (innerBits !== undefined && Number(innerBits) < bits) return false;
	const shift = BigInt(width - bits);
	return base >> shift === at >> shift;
}

function is(m: Machine, value: string, c: Context, newest: string): boolean {
	switch (value) {
		case 'online': return has(m, 'online');
		case 'offline': return !has(m, 'online');
		case 'waiting': return has(m, 'waits');
		case 'attention': return urgency(m, c.nowMs) > 0;
		case 'expired': return isExpired(m, c.nowMs);
		case 'expiring': return expiresSoon(m, c.nowMs);
		case 'ephemeral': return has(m, 'ephemeral');
		case 'tagged': return isTagged(m);
		case 'router': return isRouter(m) || has(m, 'routesWait') || has(m, 'exitOffered');
		case 'exit': return has(m, 'exitApproved');
		case 'ssh': return has(m, 'ssh');
		case 'behind': return compareVersions(m.version, newest) < 0;
		case 'locked': return has(m, 'lockedOut');
		default: return false;
	}
}

function one(m: Machine, t: Token, c: Context, newest: string): boolean {
	const v = t.value;
	if (!v || t.wrong) return true; // half typed: nothing is hidden yet
	switch (t.key) {
		case 'is': return is(m, v, c, newest);
		case 'tag': return m.tags.some(tag => tag.slice(4).startsWith(v) || tag === v);
		case 'owner': return v === 'me' ? m.user === c.me : !isTagged(m) && (m.ownerName.toLowerCase().startsWith(v) || m.owner.toLowerCase().includes(v));
		case 'os': return m.os.toLowerCase().startsWith(v) || m.osVersion.toLowerCase().includes(v);
		case 'version': { const [op, want] = operator(v); return op ? m.version !== '' && holds(op, compareVersions(m.version, want)) : m.version.startsWith(want); }
		case 'seen': {
			const [op, want] = operator(v), span = Number(want.slice(0, -1)) * UNIT[want.slice(-1)]!;
			const ago = has(m, 'online') ? 0 : m.seenMs ? c.nowMs - m.seenMs : Infinity;
			return op.startsWith('>') ? ago > span : ago <= span;
		}
		case 'addr': return m.v4.startsWith(v) || m.v6.startsWith(v) || (v.includes('/') && (contains(v, m.v4) || contains(v, m.v6)));
		case 'relay': return (c.regions.get(m.relay) ?? String(m.relay)).toLowerCase().startsWith(v) || String(m.relay) === v;
		case 'route': return [...m.routes, ...m.approved].some(r => r.startsWith(v) || contains(r, v) || (v.includes('/') && contains(v, r)));
		case 'name': return m.name.includes(v);
		default: return m.hay.includes(v);
	}
}

export function matcher(tokens: Token[], context: Context, newest: string): (m: Machine) => boolean {
	if (!tokens.length) return () => true;
	return m => tokens.every(t => one(m, t, context, newest) !== (t.not && t.value !== '' && !t.wrong));
}

export type Completion = { insert: string; shown: string; hint: string };

const MOST_OPTIONS = 14;

/** What may stand at the cursor: keys first, values after the colon. */
export function complete(text: string, cursor: number, machines: Iterable<Machine>, c: Context): { from: number; options: Completion[] } {
	const from = text.slice(0, cursor).search(/\S*$/), word = text.slice(from, cursor).replace(/^-/, '');
	const at = from + (text[from] === '-' ? 1 : 0), colon = word.indexOf(':');
	if (colon < 0) {
		const hints: Record<string, string> = { is: 'online, waiting, expired …', tag: 'a tag', owner: 'a person, or me', os: 'linux, macos …', version: '<1.96', seen: '>7d', addr: '100.64.', relay: 'home relay', route: 'a prefix, or an address in it', name: '' };
		return { from: at, options: word ? KEYS.filter(k => k.startsWith(word) && k !== word).map(k => ({ insert: `${k}:`, shown: `${k}:`, hint: hints[k] ?? '' })) : [] };
	}
	const key = word.slice(0, colon), typed = word.slice(colon + 1).toLowerCase(), counts = new Map<string, number>();
	const count = (value: string) => { if (value) counts.set(value, (counts.get(value) ?? 0) + 1); };
	if (key === 'is') for (const value of IS) counts.set(value, 0);
	else for (const m of machines) {
		if (key === 'tag') for (const tag of m.tags) count(tag.slice(4));
		else if (key === 'owner') count(isTagged(m) ? '' : m.ownerName);
		else if (key === 'os') count(m.os.toLowerCase());
		else if (key === 'version') count(m.version);
		else if (key === 'relay') count(c.regions.get(m.relay) ?? '');
		else if (key === 'route') for (const r of m.routes) count(r);
	}
	if (key === 'owner') counts.set('me', 0);
	const options = [...counts].filter(([value]) => value.toLowerCase().includes(typed) && value.toLowerCase() !== typed)
		.sort((a, b) => Number(b[0].toLowerCase().startsWith(typed)) - Number(a[0].toLowerCase().startsWith(typed)) || b[1] - a[1] || (key === 'is' ? 0 : compare(a[0], b[0]))).slice(0, MOST_OPTIONS)
		.map(([value, n]) => ({ insert: `${key}:${/\s/.test(value) ? `"${value}"` : value} `, shown: `${key}:${value}`, hint: n ? `${n}` : '' }));
	return { from: at, options };
}

/** The real value nearest to one that matches nothing: "There is a tag:prod." */
export function nearest(tokens: Token[], machines: Iterable<Machine>): { token: Token; value: string } | undefined {
	const list = [...machines];
	for (const token of tokens) {
		if (!['tag', 'owner', 'os'].includes(token.key) || !token.value) continue;
		const values = new Set(list.flatMap(m => token.key === 'tag' ? m.tags.map(t => t.slice(4)) : token.key === 'owner' ? (isTagged(m) ? [] : [m.ownerName]) : [m.os.toLowerCase()]));
		if ([...values].some(v => v.startsWith(token.value))) continue;
		const best = [...values].map(v => [edits(v, token.value), v] as const).sort((a, b) => a[0] - b[0])[0];
		if (best && best[0] <= Math.max(2, token.value.length / 3)) return { token, value: best[1] };
	}
	return undefined;
}
function edits(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, i) => i);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
		row = next;
	}
	return row[b.length]!;
}

// ---- sorting -------------------------------------------------------------------------------------------------------------
export type SortKey = 'name' | 'address' | 'owner' | 'client' | 'seen' | 'created';
const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0; // Intl.Collator takes 60 ms for 10,000 rows

/** `sort`: '' (what needs attention, then name), 'seen', '-seen' … */
export function sorter(sort: string, nowMs: number): (a: Machine, b: Machine) => number {
	const down = sort.startsWith('-') ? -1 : 1, key = sort.replace(/^-/, '') as SortKey | '';
	const byName = (a: Machine, b: Machine) => compare(a.order, b.order) || Number(a.id) - Number(b.id);
	const number = (v4: string) => Number(address(v4) ?? 0n);
	switch (key) {
		case 'name': return (a, b) => down * byName(a, b);
		case 'address': return (a, b) => down * (number(a.v4) - number(b.v4)) || byName(a, b);
		case 'owner': return (a, b) => down * compare((a.tags[0] ?? a.owner).toLowerCase(), (b.tags[0] ?? b.owner).toLowerCase()) || byName(a, b);
		case 'client': return (a, b) => down * (compare(a.os, b.os) || compareVersions(a.version, b.version)) || byName(a, b);
		case 'seen': {
			const seen = (m: Machine) => has(m, 'online') ? Number.MAX_SAFE_INTEGER : m.seenMs;
			return (a, b) => down * (seen(b) - seen(a)) || byName(a, b);
		}
		case 'created': return (a, b) => down * (b.createdMs - a.createdMs) || byName(a, b);
		default: return (a, b) => (urgency(a, nowMs) || 9) - (urgency(b, nowMs) || 9) || byName(a, b);
	}
}

/** Sorted; the first sort (what asks first, then by name) looks at each machine once, not at each comparison. */
export function sorted(list: Machine[], sort: string, nowMs: number): Machine[] {
	if (sort) return list.sort(sorter(sort, nowMs));
	const byName = sorter('name', nowMs), asking: [number, Machine][] = [], rest: Machine[] = [];
	for (const m of list) { const u = urgency(m, nowMs); if (u) asking.push([u, m]); else rest.push(m); }
	asking.sort((a, b) => a[0] - b[0] || byName(a[1], b[1]));
	return [...asking.map(([, m]) => m), ...rest.sort(byName)];
}
