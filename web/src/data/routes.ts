// Routes as GET /routes answers them, and looking for an address inside one. No DOM.
export type Router = { id: string; announced: boolean; approved: boolean; online: boolean; carries: boolean; healthy: boolean };
export type RouteRow = { prefix: string; state: 'carries' | 'waits' | 'nobody' | 'conflict'; carrier: string; routers: Router[]; overlaps: string[] };
export type ExitRow = { id: string; approved: boolean; online: boolean; country: string; city: string; usedBy?: number };
export type RoutesAnswer = { routes: RouteRow[]; exits: ExitRow[] };

/** An address as a number and its width in bits; null when it is none. */
export function parseAddress(text: string): { value: bigint; bits: 32 | 128 } | null {
	if (/^\d+(\.\d+){3}$/.test(text)) {
		const parts = text.split('.').map(Number);
		return parts.every(n => n < 256) ? { value: BigInt(parts.reduce((sum, n) => sum * 256 + n, 0)), bits: 32 } : null;
	}
	if (!text.includes(':') || !/^[0-9a-f:]+$/i.test(text) || text.split('::').length > 2) return null;
	const [head, tail] = text.split('::') as [string, string | undefined], a = head ? head.split(':') : [], b = tail ? tail.split(':') : [];
	const missing = 8 - a.length - b.length;
	if (tail === undefined ? missing !== 0 : missing < 1) return null;
	let value = 0n;
	for (const group of [...a, ...Array.from({ length: Math.max(missing, 0) }, () => '0'), ...b]) {
		if (!/^[0-9a-f]{1,4}$/i.test(group)) return null;
		value = value << 16n | BigInt(parseInt(group, 16));
	}
	return { value, bits: 128 };
}
export function contains(prefix: string, address: string): boolean {
	const [net, length] = prefix.split('/'), a = parseAddress(net ?? ''), b = parseAddress(address);
	if (!a || !b || a.bits !== b.bits) return false;
	const shift = BigInt(a.bits - Number(length));
	return a.value >> shift === b.value >> shift;
}
export const waiting = (r: RouteRow): Router[] => r.routers.filter(x => x.announced && !x.approved);
export const asks = (r: RouteRow): boolean => waiting(r).length > 0 || r.state === 'nobody' || r.state === 'conflict';

/** By prefix, by the names of its machines, or by an address inside it. */
export function fits(r: RouteRow, query: string, nameOf: (id: string) => string): boolean {
	return query.trim().toLowerCase().split(/\s+/).filter(Boolean).every(word => r.prefix.includes(word) || contains(r.prefix, word) || r.routers.some(x => nameOf(x.id).toLowerCase().includes(word)));
}
