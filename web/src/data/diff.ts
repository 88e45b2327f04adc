// Lines that two texts have in common, by Myers' greedy algorithm; and words within a changed line.
export type Line = { kind: 'same' | 'add' | 'remove'; text: string };
export type Piece = { text: string; changed: boolean };
type Step = { kind: Line['kind']; a: number; b: number };

const LONGEST_SCRIPT = 4000; // edits: past it the texts have little in common, and one block of each is clearer

function script(a: string[], b: string[]): Step[] {
	const n = a.length, m = b.length, max = Math.min(n + m, LONGEST_SCRIPT);
	const v = new Int32Array(2 * max + 3), trace: Int32Array[] = [];
	const off = max + 1;
	let found = -1;
	for (let d = 0; d <= max && found < 0; d++) {
		trace.push(v.slice(off - d - 1, off + d + 2));
		for (let k = -d; k <= d; k += 2) {
			let x = k === -d || (k !== d && v[off + k - 1]! < v[off + k + 1]!) ? v[off + k + 1]! : v[off + k - 1]! + 1;
			let y = x - k;
			while (x < n && y < m && a[x] === b[y]) { x++; y++; }
			v[off + k] = x;
			if (x >= n && y >= m) { found = d; break; }
		}
	}
	const out: Step[] = [];
	if (found < 0) {
		a.forEach((_, i) => out.push({ kind: 'remove', a: i, b: 0 }));
		b.forEach((_, i) => out.push({ kind: 'add', a: n, b: i }));
		return out;
	}
	let x = n, y = m;
	for (let d = found; d > 0; d--) {
		const before = trace[d]!, at = (k: number) => before[k + d + 1]!;
		const k = x - y;
		const prev = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? k + 1 : k - 1;
		const px = at(prev), py = px - prev;
		while (x > px && y > py) { x--; y--; out.push({ kind: 'same', a: x, b: y }); }
		if (prev === k + 1) { y--; out.push({ kind: 'add', a: x, b: y }); } else { x--; out.push({ kind: 'remove', a: x, b: y }); }
	}
	while (x > 0 && y > 0) { x--; y--; out.push({ kind: 'same', a: x, b: y }); }
	return out.reverse();
}

export function diffLines(before: string, after: string): Line[] {
	const split = (text: string) => text === '' ? [] : text.replace(/\n$/, '').split('\n');
	const a = split(before), b = split(after);
	return script(a, b).map(s => ({ kind: s.kind, text: s.kind === 'add' ? b[s.b]! : a[s.a]! }));
}

export function diffWords(before: string, after: string): [Piece[], Piece[]] {
	const cut = (text: string) => text.match(/[\w.:@-]+|\s+|[^\w\s]/g) ?? [];
	const a = cut(before), b = cut(after), left: Piece[] = [], right: Piece[] = [];
	const put = (list: Piece[], text: string, changed: boolean) => {
		const last = list[list.length - 1];
		if (last && last.changed === changed) last.text += text; else list.push({ text, changed });
	};
	for (const s of script(a, b)) {
		if (s.kind !== 'add') put(left, a[s.a]!, s.kind === 'remove');
		if (s.kind !== 'remove') put(right, b[s.b]!, s.kind === 'add');
	}
	return [left, right];
}

/** Line numbers (from 1) of `after` that are not in `before`: the editor's blue bar. */
export function changedLines(before: string, after: string): Set<number> {
	const out = new Set<number>();
	let n = 0;
	for (const line of diffLines(before, after)) {
		if (line.kind !== 'remove') n++;
		if (line.kind === 'add') out.add(n);
	}
	return out;
}

export type Merge = { text: string; conflicts: number };

/** Three-way merge by lines: what only one side changed is taken; where both changed the same place differently, both stand between marks. */
export function merge(base: string, mine: string, theirs: string): Merge {
	const lines = (text: string) => text.replace(/\n$/, '').split('\n');
	const o = lines(base), a = lines(mine), b = lines(theirs);
	const match = (other: string[]) => {
		const to = new Int32Array(o.length).fill(-1);
		for (const s of script(o, other)) if (s.kind === 'same') to[s.a] = s.b;
		return to;
	};
	const ma = match(a), mb = match(b), out: string[] = [];
	let i = 0, ia = 0, ib = 0, conflicts = 0;
	const flush = (to: number, ta: number, tb: number) => {
		const was = o.slice(i, to).join('\n'), x = a.slice(ia, ta), y = b.slice(ib, tb);
		const xs = x.join('\n'), ys = y.join('\n');
		if (xs === ys || ys === was) out.push(...x);
		else if (xs === was) out.push(...y);
		else { conflicts++; out.push('// <<<<<<< yours', ...x, '// =======', ...y, '// >>>>>>> saved meanwhile'); }
		i = to; ia = ta; ib = tb;
	};
	for (let k = 0; k < o.length; k++) {
		if (ma[k]! < 0 || mb[k]! < 0) continue;
		if (k > i || ma[k]! > ia || mb[k]! > ib) flush(k, ma[k]!, mb[k]!);
		out.push(o[k]!);
		i = k + 1; ia = ma[k]! + 1; ib = mb[k]! + 1;
	}
	flush(o.length, a.length, b.length);
	return { text: out.join('\n') + '\n', conflicts };
}
