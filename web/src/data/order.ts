// Live, but still: the order of a list that somebody is reading. Rows that are shown stay where they are; new ones are put at their sorted place if
// that is below what is on the screen, else they wait behind "3 new". When nobody is reading (at the top, pointer elsewhere) the list sorts anew.
export type Order = { ids: string[]; waiting: string[] };

export function reorder(shown: Order, target: string[], exists: (id: string) => boolean, settled: boolean, firstVisible: number): Order {
	if (settled || !shown.ids.length) return { ids: target, waiting: [] };
	const ids = shown.ids.filter(exists), here = new Set(ids), place = new Map(ids.map((id, i) => [id, i]));
	const fresh = target.filter(id => !here.has(id));
	if (!fresh.length) return ids.length === shown.ids.length && !shown.waiting.length ? shown : { ids, waiting: [] };
	const after = new Map<number, string[]>(), waiting: string[] = [];
	let last = -1;
	for (const id of target) {
		if (here.has(id)) { last = Math.max(last, place.get(id)!); continue; }
		if (last + 1 <= firstVisible) waiting.push(id);
		else after.set(last, [...after.get(last) ?? [], id]);
	}
	const out: string[] = [];
	ids.forEach((id, i) => { out.push(id, ...after.get(i) ?? []); });
	return { ids: out, waiting };
}

/** Which rows of a list are drawn: [from, to) of rows whose tops are `tops` (tops.length = rows + 1). */
export function visible(tops: (i: number) => number, rows: number, from: number, to: number, overscan: number): [number, number] {
	const find = (y: number) => {
		let lo = 0, hi = rows;
		while (lo < hi) { const mid = (lo + hi) >> 1; if (tops(mid + 1) <= y) lo = mid + 1; else hi = mid; }
		return lo;
	};
	return [Math.max(0, find(Math.max(from, 0)) - overscan), Math.min(rows, find(Math.max(to, 0)) + 1 + overscan)];
}
