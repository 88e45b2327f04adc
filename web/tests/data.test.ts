import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedLines, diffLines, diffWords, merge } from '../src/data/diff';
import { rank, score } from '../src/data/fuzzy';
import { reorder, visible } from '../src/data/order';
import { qr } from '../src/data/qr';
import { ago, span, spanLong, until } from '../src/data/time';
import { match } from '../src/data/route-match';
import { dropRule, putAt, rulesOf } from '../src/data/hujson';
import { bytes } from '../src/data/time';

const lines = (a: string, b: string) => diffLines(a, b).map(l => ({ same: ' ', add: '+', remove: '-' })[l.kind] + l.text).join('|');

test('differences of lines and words', () => {
	assert.equal(lines('a\nb\nc\n', 'a\nx\nc\n'), ' a|-b|+x| c');
	assert.equal(lines('', 'a\n'), '+a');
	assert.equal(lines('a\n', ''), '-a');
	assert.equal(lines('a\nb\n', 'a\nb\n'), ' a| b');
	assert.deepEqual(diffWords('"ip": ["*"]', '"ip": ["tcp:443"]'), [
		[{ text: '"ip": ["', changed: false }, { text: '*', changed: true }, { text: '"]', changed: false }], [{ text: '"ip": ["', changed: false }, { text: 'tcp:443', changed: true }, { text: '"]', changed: false }]]);
	assert.deepEqual([...changedLines('a\nb\n', 'a\nx\nb\ny\n')], [2, 4]);
});

test('a difference applied to the old text is the new text', () => {
	let seed = 7;
	const random = (n: number) => { seed = seed * 1103515245 + 12345 & 0x7fffffff; return seed % n; };
	for (let round = 0; round < 300; round++) {
		const a = Array.from({ length: random(12) }, () => 'abc'[random(3)]), b = Array.from({ length: random(12) }, () => 'abc'[random(3)]);
		const d = diffLines(a.join('\n'), b.join('\n'));
		assert.equal(d.filter(l => l.kind !== 'add').map(l => l.text).join('\n'), a.join('\n'));
		assert.equal(d.filter(l => l.kind !== 'remove').map(l => l.text).join('\n'), b.join('\n'));
	}
});

test('three-way merge', () => {
	const base = 'a\nb\nc\nd\ne\n';
	assert.deepEqual(merge(base, 'a\nB\nc\nd\ne\n', 'a\nb\nc\nD\ne\n'), { text: 'a\nB\nc\nD\ne\n', conflicts: 0 });
	assert.deepEqual(merge(base, base, 'a\nb\ne\n'), { text: 'a\nb\ne\n', conflicts: 0 });
	assert.deepEqual(merge(base, 'a\nX\nc\nd\ne\n', 'a\nX\nc\nd\ne\n'), { text: 'a\nX\nc\nd\ne\n', conflicts: 0 });
	const both = merge(base, 'a\nX\nc\nd\ne\n', 'a\nY\nc\nd\ne\n');
	assert.equal(both.conflicts, 1);
	assert.match(both.text, /X\n\/\/ =======\nY/);
});

test('fuzzy finding', () => {
	assert.ok(score('dbp', 'db-primary') > 0);
	assert.equal(score('xyz', 'db-primary'), 0);
	assert.ok(score('prim', 'db-primary') > score('rima', 'db-primary'));
	assert.deepEqual(rank('100.64.0.1', [{ words: 'a', exact: ['100.64.0.1'] }, { words: 'b', exact: ['100.64.0.10'] }], 5).map(r => r.words), ['a']);
});

test('a list that somebody reads stays still', () => {
	const order = { ids: ['a', 'b', 'c', 'd'], waiting: [] }, all = () => true;
	assert.deepEqual(reorder(order, ['d', 'a', 'b', 'c'], all, false, 0).ids, ['a', 'b', 'c', 'd'], 'nothing jumps');
	assert.deepEqual(reorder(order, ['d', 'a', 'b', 'c'], all, true, 0).ids, ['d', 'a', 'b', 'c'], 'unless nobody is looking');
	assert.deepEqual(reorder(order, ['a', 'b', 'c', 'x', 'd'], all, false, 1), { ids: ['a', 'b', 'c', 'x', 'd'], waiting: [] }, 'new below the top: at its place');
	assert.deepEqual(reorder(order, ['x', 'a', 'b', 'c', 'd'], all, false, 1), { ids: ['a', 'b', 'c', 'd'], waiting: ['x'] }, 'new above: waits');
	assert.deepEqual(reorder(order, ['a', 'b', 'd'], id => id !== 'c', false, 0).ids, ['a', 'b', 'd'], 'gone is gone');
	assert.equal(reorder(order, ['a', 'b', 'c', 'd'], all, false, 0), order, 'the same object when nothing changed');
});

test('the drawn part of a list', () => {
	assert.deepEqual(visible(i => i * 40, 10_000, 4000, 4800, 12), [88, 133]);
	assert.deepEqual(visible(i => i * 40, 10, -200, 600, 12), [0, 10]);
	assert.deepEqual(visible(i => i * 40, 0, 0, 600, 12), [0, 0]);
});

test('times in words', () => {
	const at = Date.UTC(2026, 10, 28, 12);
	assert.equal(ago(at - 30_000, at), 'now');
	assert.equal(ago(at - 4 * 60_000, at), '4 min ago');
	assert.equal(ago(at - 3 * 3_600_000, at), '3 h ago');
	assert.equal(ago(0, at), 'never');
	assert.equal(until(at + 2.1 * 86_400_000, at), 'in 2 d');
	assert.equal(span(90_000), '2 min');
	assert.equal(spanLong(48 * 60_000), '48 minutes');
	assert.equal(spanLong(60_000), '1 minute');
});

test('routes', () => {
	assert.deepEqual(match('/machines/:id', '/machines/5'), { id: '5' });
	assert.equal(match('/machines/:id', '/machines'), null);
	assert.deepEqual(match('/access/*', '/access/history/41'), { rest: 'history/41' });
	assert.equal(match('/access/*', '/accessible'), null);
});

// Reads a code back, by the standard's rules but not by the encoder's code: format, mask, zigzag, blocks, then every check symbol.
test('QR codes can be read back', () => {
	const EC: Record<number, [number, number[]]> = { 1: [10, [16]], 2: [16, [28]], 3: [26, [44]], 4: [18, [32, 32]], 5: [24, [43, 43]], 6: [16, [27, 27, 27, 27]], 7: [18, [31, 31, 31, 31]], 8: [22, [38, 38, 39, 39]] };
	const ALIGN: Record<number, number[]> = { 1: [], 2: [18], 3: [22], 4: [26], 5: [30], 6: [34], 7: [6, 22, 38], 8: [6, 24, 42] };
	const mul = (a: number, b: number) => { let p = 0; for (let i = 0; i < 8; i++) { if (b >> i & 1) p ^= a << i; } for (let i = 14; i >= 8; i--) if (p >> i & 1) p ^= 0x11d << i - 8; return p; };
	for (const text of ['HELLO', 'https://vpn.harbour.example', `https://vpn.example/${'x'.repeat(50)}`, `https://vpn.example/${'y'.repeat(90)}`, `https://vpn.example/ü/${'z'.repeat(120)}`]) {
		const g = qr(text), n = g.length, version = (n - 17) / 4;
		let format = 0;
		for (let i = 0; i < 15; i++) { const c = i < 8 ? n - 1 - i : i === 8 ? 7 : 14 - i; if (g[8]![c]) format |= 1 << i; }
		let format2 = 0;
		for (let i = 0; i < 15; i++) { const r = i < 6 ? i : i < 8 ? i + 1 : n - 15 + i; if (g[r]![8]) format2 |= 1 << i; }
		assert.equal(format, format2, 'both copies of the format agree');
		const plain = format ^ 0x5412, mask = plain >> 10 & 7;
		assert.equal(plain >> 13, 0, 'level M');
		const free = (r: number, c: number): boolean => {
			if ((r < 9 && c < 9) || (r < 9 && c >= n - 8) || (r >= n - 8 && c < 9) || r === 6 || c === 6) return false;
			if (version >= 7 && ((r < 6 && c >= n - 11) || (c < 6 && r >= n - 11))) return false;
			for (const y of ALIGN[version]!) for (const x of ALIGN[version]!) {
				if ((y === 6 && x === 6) || (y === 6 && x === n - 7) || (y === n - 7 && x === 6)) continue;
				if (Math.abs(r - y) <= 2 && Math.abs(c - x) <= 2) return false;
			}
			return true;
		};
		const on = [(r: number, c: number) => (r + c) % 2, (r: number) => r % 2, (_: number, c: number) => c % 3, (r: number, c: number) => (r + c) % 3, (r: number, c: number) => (Math.floor(r / 2) + Math.floor(c / 3)) % 2,
			(r: number, c: number) => (r * c) % 2 + (r * c) % 3, (r: number, c: number) => ((r * c) % 2 + (r * c) % 3) % 2, (r: number, c: number) => ((r + c) % 2 + (r * c) % 3) % 2][mask]!;
		const bits: number[] = [];
		let up = true;
		for (let right = n - 1; right > 0; right -= 2) {
			if (right === 6) right = 5;
			for (let k = 0; k < n; k++) { const r = up ? n - 1 - k : k; for (const c of [right, right - 1]) if (free(r, c)) bits.push(Number(g[r]![c]) ^ (on(r, c) === 0 ? 1 : 0)); }
			up = !up;
		}
		const words = Array.from({ length: bits.length >> 3 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8).join(''), 2));
		const [ec, sizes] = EC[version]!, blocks: number[][] = sizes.map(() => []);
		let at = 0;
		for (let i = 0; i < Math.max(...sizes); i++) sizes.forEach((size, b) => { if (i < size) blocks[b]!.push(words[at++]!); });
		const data = blocks.flatMap(b => b.slice());
		for (let i = 0; i < ec; i++) for (const b of blocks) b.push(words[at++]!);
		for (const b of blocks) for (let i = 0, x = 1; i < ec; i++, x = mul(x, 2)) assert.equal(b.reduce((sum, w) => mul(sum, x) ^ w, 0), 0, `syndrome ${i}`);
		const length = (data[0]! & 15) << 4 | data[1]! >> 4, bytes = Array.from({ length }, (_, i) => (data[i + 1]! & 15) << 4 | data[i + 2]! >> 4);
		assert.equal(new TextDecoder().decode(new Uint8Array(bytes)), text);
	}
});

const POLICY = `{
  // first
  "groups": {"group:a": ["x@"]},
  "grants": [
    // of a
    {"src": ["group:a"], "dst": ["*"], "ip": ["*"]},
    {"src": ["x@"], "dst": ["tag:b"], "ip": ["tcp:22"]} // last
  ],
  "ssh": [{"action": "accept", "src": ["x@"], "dst": ["tag:b"], "users": ["root"]}],
}
`;
test('rules of a policy: listed, taken out, comments stay', () => {
	const rules = rulesOf(POLICY);
	assert.deepEqual(rules.map(r => [r.section, r.src.join(), r.dst.join(), r.ports.join()]), [['grants', 'group:a', '*', '*'], ['grants', 'x@', 'tag:b', 'tcp:22'], ['ssh', 'x@', 'tag:b', 'root']]);
	const one = dropRule(POLICY, rules[0]!);
	assert.equal(rulesOf(one).length, 2);
	assert.ok(one.includes('// of a') && one.includes('// last') && !one.includes('"dst": ["*"]'));
	assert.equal(rulesOf(dropRule(POLICY, rules[1]!)).length, 2);
	assert.ok(dropRule(POLICY, rules[1]!).includes('// last'));
	assert.deepEqual(rulesOf(dropRule(POLICY, rules[2]!)).map(r => r.section), ['grants', 'grants']);
	assert.deepEqual(rulesOf('{"grants": ['), []);
});
test('a member at a path of objects, which are made where they are missing', () => {
	const put = (text: string) => putAt(text, ['autoApprovers', 'routes'], '10.0.0.0/8', '["tag:r"]')!, read = (text: string) => JSON.parse(text.replace(/\/\/.*$/gm, '').replace(/,(\s*[}\]])/g, '$1')) as Record<string, any>;
	for (const text of ['{}', '{\n}\n', '{"a": 1}', '{\n\t"a": 1, // one\n}\n', '{"autoApprovers": {}}', '{"autoApprovers": {"exitNode": ["tag:x"]}}', '{\n  "autoApprovers": {\n    "routes": {\n      "192.168.0.0/16": ["tag:y"], // old\n    },\n  },\n}', '{"autoApprovers": {"routes": {"10.0.0.0/8": ["tag:old"]}}}'])
		assert.deepEqual(read(put(text)).autoApprovers.routes['10.0.0.0/8'], ['tag:r'], text);
	assert.ok(put('{\n  "autoApprovers": {\n    "routes": {\n      "192.168.0.0/16": ["tag:y"], // old\n    },\n  },\n}').includes('// old'));
	assert.equal(putAt('{"autoApprovers": []}', ['autoApprovers', 'routes'], 'x', '[]'), undefined);
	assert.equal(putAt('nonsense', [], 'x', '[]'), undefined);
});
test('sizes', () => assert.deepEqual([0, 1023, 1024, 10_240, 1_048_575, 1_048_576, 5e9].map(bytes), ['0 B', '1023 B', '1.0 KB', '10 KB', '1.0 MB', '1.0 MB', '4.7 GB']));
