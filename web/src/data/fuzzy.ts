// Finding by what somebody half remembers: letters in order, better at starts of words; addresses and ids only exactly.
export function score(query: string, words: string): number {
	const q = query.toLowerCase(), w = words.toLowerCase(), whole = w.indexOf(q);
	if (whole === 0) return 1000 - w.length;
	if (whole > 0) return (/[^a-z0-9]/.test(w[whole - 1]!) ? 800 : 600) - whole - w.length / 10;
	let at = -1, points = 300, run = 0;
	for (const c of q) {
		if (c === ' ') continue;
		const next = w.indexOf(c, at + 1);
		if (next < 0) return 0;
		if (next === at + 1) run++; else { points -= Math.min(40, (next - at) * 2); run = 0; }
		if (next === 0 || /[^a-z0-9]/.test(w[next - 1]!)) points += 20;
		points += run * 4;
		at = next;
	}
	return Math.max(points - w.length / 10, 0);
}
export function rank<T extends { words: string; exact?: string[] }>(query: string, items: T[], most: number): T[] {
	const q = query.trim(), scored: [number, T][] = [];
	for (const item of items) {
		const exact = item.exact?.some(e => e !== '' && e === q) ?? false, s = exact ? 2000 : score(q, item.words);
		if (s > 0) scored.push([s, item]);
	}
	return scored.sort((a, b) => b[0] - a[0]).slice(0, most).map(([, item]) => item);
}
