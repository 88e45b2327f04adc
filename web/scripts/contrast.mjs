// Reads the tokens and checks every pair of words and ground that the console uses. Words need 4.5:1 (WCAG 2.2, 1.4.3), edges and marks that
// carry meaning 3:1 (1.4.11). --list prints all; exits with 1 when a pair fails.
import { readFileSync } from 'node:fs';

const css = readFileSync(new URL('../src/styles/tokens.css', import.meta.url), 'utf8');
const tokens = new Map([...css.matchAll(/--([\w-]+):\s*light-dark\((#\w{6}), (#\w{6})\)/g)].map(m => [m[1], [m[2], m[3]]]));
for (const m of css.matchAll(/--([\w-]+):\s*(#\w{6});/g)) tokens.set(m[1], [m[2], m[2]]);

const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = hex => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * linear(parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16) / 255), 0);
const ratio = (a, b) => { const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x); return (hi + 0.05) / (lo + 0.05); };
const cross = (words, grounds) => words.flatMap(w => grounds.map(g => [w, g]));

const wanted = [
	[4.5, [
		...cross(['text', 'muted', 'faint'], ['surface', 'canvas', 'sunken', 'accent-soft']),
		...cross(['text', 'muted'], ['raised', 'hover', 'active', 'active-strong', 'ok-soft', 'warn-soft', 'danger-soft']),
		...['ok', 'warn', 'danger', 'accent'].flatMap(tone => cross([tone], ['surface', 'canvas', 'raised', `${tone}-soft`])),
		...cross(['on-accent'], ['accent-fill', 'accent-press', 'danger-fill', 'inverse']), ['on-reach-all', 'reach-all'], ['ink', 'paper'],
		...cross(['code-key', 'code-string'], ['surface', 'sunken', 'ok-soft', 'danger-soft']), ['code-comment', 'surface'], ['text', 'diff-add'], ['text', 'diff-remove'],
	]],
	[3, [...cross(['line-control'], ['surface', 'canvas']), ...cross(['ok-mark', 'warn-mark', 'danger', 'accent', 'accent-fill'], ['surface'])]],
];
let failed = 0, n = 0;
for (const [least, pairs] of wanted) for (const [front, back] of pairs) {
	const a = tokens.get(front), b = tokens.get(back);
	if (!a || !b) throw new Error(`no token ${a ? back : front}`);
	const got = [0, 1].map(theme => ratio(a[theme], b[theme])), bad = Math.min(...got) < least;
	n++;
	if (bad) failed++;
	if (bad || process.argv.includes('--list')) console.log(`${`${front} on ${back}`.padEnd(30)} light ${got[0].toFixed(2)}  dark ${got[1].toFixed(2)}${bad ? `  below ${least}` : ''}`);
}
if (failed || process.argv.includes('--list')) console.log(`contrast: ${n} pairs in two themes, ${failed} below AA`);
process.exit(failed ? 1 : 0);
