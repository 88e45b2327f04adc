// A QR code of a short text: byte mode, level M, versions 1 to 10 (213 bytes). ISO/IEC 18004. tests/qr.test.ts decodes what this draws.
const TOTAL = [26, 44, 70, 100, 134, 172, 196, 242, 292, 346];                 // codewords of a version
const EC = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26];                            // of them for correction, a block
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5];
const ALIGN = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];

const EXP = new Uint8Array(512), LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) { EXP[i] = EXP[i + 255] = x; LOG[x] = i; x = x << 1 ^ (x & 128 ? 0x11d : 0); }

function correction(data: number[], n: number): number[] {
	let gen = [1];
	for (let i = 0; i < n; i++) {
		const next = Array<number>(gen.length + 1).fill(0);
		gen.forEach((g, k) => { next[k]! ^= g; if (g) next[k + 1]! ^= EXP[LOG[g]! + i]!; });
		gen = next;
	}
	const rest = [...data, ...Array<number>(n).fill(0)];
	for (let i = 0; i < data.length; i++) {
		const lead = rest[i]!;
		if (lead) gen.forEach((g, k) => { rest[i + k]! ^= g ? EXP[LOG[g]! + LOG[lead]!]! : 0; });
	}
	return rest.slice(data.length);
}

const MASKS: ((r: number, c: number) => boolean)[] = [
	(r, c) => (r + c) % 2 === 0, r => r % 2 === 0, (_, c) => c % 3 === 0, (r, c) => (r + c) % 3 === 0, (r, c) => ((r >> 1) + Math.floor(c / 3)) % 2 === 0,
	(r, c) => r * c % 2 + r * c % 3 === 0, (r, c) => (r * c % 2 + r * c % 3) % 2 === 0, (r, c) => ((r + c) % 2 + r * c % 3) % 2 === 0,
];

function bch(value: number, poly: number, bits: number): number {
	let rest = value << bits;
	for (let i = 31; i >= bits; i--) if (rest >>> i & 1) rest ^= poly << i - bits;
	return value << bits | rest;
}

export function qr(text: string): boolean[][] {
	const bytes = [...new TextEncoder().encode(text)];
	const room = (v: number) => TOTAL[v - 1]! - EC[v - 1]! * BLOCKS[v - 1]!;
	const version = Array.from({ length: 10 }, (_, i) => i + 1).find(v => 4 + (v < 10 ? 8 : 16) + bytes.length * 8 <= room(v) * 8);
	if (!version) throw new Error('too long for a QR code');

	const bits: number[] = [], put = (value: number, n: number) => { for (let i = n - 1; i >= 0; i--) bits.push(value >>> i & 1); };
	put(4, 4);
	put(bytes.length, version < 10 ? 8 : 16);
	for (const b of bytes) put(b, 8);
	put(0, Math.min(4, room(version) * 8 - bits.length));
	while (bits.length % 8) bits.push(0);
	const data: number[] = [];
	for (let i = 0; i < bits.length; i += 8) data.push(parseInt(bits.slice(i, i + 8).join(''), 2));
	for (let pad = 0xec; data.length < room(version); pad ^= 0xec ^ 0x11) data.push(pad);

	const blocks = BLOCKS[version - 1]!, short = Math.floor(data.length / blocks), longFrom = blocks - data.length % blocks, parts: number[][] = [];
	for (let i = 0, at = 0; i < blocks; i++) { const n = short + (i >= longFrom ? 1 : 0); parts.push(data.slice(at, at + n)); at += n; }
	const checks = parts.map(p => correction(p, EC[version - 1]!)), all: number[] = [];
	for (let i = 0; i <= short; i++) for (const p of parts) if (i < p.length) all.push(p[i]!);
	for (let i = 0; i < EC[version - 1]!; i++) for (const c of checks) all.push(c[i]!);

	const size = 17 + 4 * version, grid = Array.from({ length: size }, () => Array<boolean>(size).fill(false)), fixed = Array.from({ length: size }, () => Array<boolean>(size).fill(false));
	const set = (r: number, c: number, on: boolean) => { if (r >= 0 && c >= 0 && r < size && c < size) { grid[r]![c] = on; fixed[r]![c] = true; } };
	for (const [r0, c0] of [[3, 3], [3, size - 4], [size - 4, 3]] as const)
		for (let r = -4; r <= 4; r++) for (let c = -4; c <= 4; c++) { const d = Math.max(Math.abs(r), Math.abs(c)); set(r0 + r, c0 + c, d !== 2 && d !== 4); }
	const centres = ALIGN[version - 1]!;
	for (const r of centres) for (const c of centres) {
		if ((r === 6 && c === 6) || (r === 6 && c === size - 7) || (r === size - 7 && c === 6)) continue;
		for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) set(r + y, c + x, Math.max(Math.abs(y), Math.abs(x)) !== 1);
	}
	for (let i = 8; i < size - 8; i++) { set(6, i, i % 2 === 0); set(i, 6, i % 2 === 0); }
	const format = (mask: number) => {
		const word = bch(mask, 0x537, 10) ^ 0x5412; // level M is 00
		for (let i = 0; i < 15; i++) {
			const on = (word >>> i & 1) === 1;
			set(i < 6 ? i : i < 8 ? i + 1 : size - 15 + i, 8, on);
			set(8, i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i, on);
		}
		set(size - 8, 8, true);
	};
	format(0);
	if (version >= 7) {
		const word = bch(version, 0x1f25, 12);
		for (let i = 0; i < 18; i++) { const on = (word >>> i & 1) === 1, a = Math.floor(i / 3), b = size - 11 + i % 3; set(a, b, on); set(b, a, on); }
	}
	let at = 0;
	for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
		if (right === 6) right--;
		for (let i = 0; i < size; i++) {
			const r = up ? size - 1 - i : i;
			for (const c of [right, right - 1]) if (!fixed[r]![c]) { grid[r]![c] = (all[at >> 3]! >>> 7 - (at & 7) & 1) === 1 && at < all.length * 8; at++; }
		}
	}

	const masked = (m: number) => grid.map((row, r) => row.map((on, c) => fixed[r]![c] ? on : on !== MASKS[m]!(r, c)));
	let best = 0, least = Infinity;
	for (let m = 0; m < 8; m++) { const p = penalty(masked(m)); if (p < least) { least = p; best = m; } }
	const out = masked(best);
	grid.forEach((row, r) => row.forEach((_, c) => { grid[r]![c] = out[r]![c]!; }));
	format(best);
	return grid;
}

function penalty(g: boolean[][]): number {
	const n = g.length;
	let points = 0, dark = 0;
	for (let r = 0; r < n; r++) for (const flip of [false, true]) {
		let run = 0, line = '';
		for (let c = 0; c < n; c++) {
			const v = flip ? g[c]![r]! : g[r]![c]!;
			line += v ? '1' : '0';
			run = c && line[c] === line[c - 1] ? run + 1 : 1;
			if (run === 5) points += 3; else if (run > 5) points++;
		}
		for (const pattern of ['10111010000', '00001011101']) for (let i = line.indexOf(pattern); i >= 0; i = line.indexOf(pattern, i + 1)) points += 40;
	}
	for (let r = 0; r < n; r++) for (let c = 0; c < n; c++) {
		if (g[r]![c]) dark++;
		if (r && c && g[r]![c] === g[r - 1]![c] && g[r]![c] === g[r]![c - 1] && g[r]![c] === g[r - 1]![c - 1]) points += 3;
	}
	return points + 10 * Math.floor(Math.abs(dark * 20 - n * n * 10) / (n * n));
}

/** One SVG path, a square a module. */
export const qrPath = (grid: boolean[][]): string => grid.map((row, r) => row.map((on, c) => on ? `M${c} ${r}h1v1h-1z` : '').join('')).join('');
