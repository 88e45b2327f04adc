import { Icon } from './basics';
import type { ComponentChildren } from 'preact';
import { diffLines, diffWords, type Piece } from '../data/diff';

/** HuJSON in colours: keys, strings, comments. */
export function highlight(source: string): ComponentChildren[] {
	const out: ComponentChildren[] = [];
	const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(\/\/.*|\/\*.*?\*\/)/g;
	let at = 0;
	for (const m of source.matchAll(token)) {
		if (m.index > at) out.push(source.slice(at, m.index));
		if (m[3]) out.push(<span class="comment">{m[3]}</span>);
		else if (m[2]) out.push(<span class="key">{m[1]}</span>, m[2]);
		else out.push(<span class="string">{m[1]}</span>);
		at = m.index + m[0].length;
	}
	out.push(source.slice(at));
	return out;
}

const words = (pieces: Piece[], kind: 'add' | 'remove') => pieces.map((p, i) => !p.changed ? <span key={i}>{p.text}</span> : kind === 'add' ? <ins key={i}>{p.text}</ins> : <del key={i}>{p.text}</del>);

/** The difference of two texts, unchanged stretches folded; a change inside a line is marked by words. */
export function Diff({ before, after, label = 'Difference', context = 2 }: { before: string; after: string; label?: string; context?: number }) {
	const lines = diffLines(before, after);
	const keep = lines.map(() => false);
	lines.forEach((line, i) => { if (line.kind !== 'same') for (let k = i - context; k <= i + context; k++) if (k >= 0 && k < keep.length) keep[k] = true; });
	const rows: ComponentChildren[] = [];
	for (let i = 0; i < lines.length; i++) {
		const line = lines[i]!;
		if (!keep[i]) {
			let n = 0;
			while (i < lines.length && !keep[i]) { i++; n++; }
			i--;
			rows.push(<div key={`g${i}`} class="line" data-diff="gap"><span>{n === 1 ? '1 unchanged line' : `${n} unchanged lines`}</span></div>);
			continue;
		}
		const other = line.kind === 'remove' ? lines[i + 1] : lines[i - 1];
		const pair = line.kind !== 'same' && other && other.kind !== 'same' && other.kind !== line.kind ? other : undefined;
		const pieces = pair && (line.kind === 'remove' ? diffWords(line.text, pair.text)[0] : diffWords(pair.text, line.text)[1]);
		rows.push(
			<div key={i} class="line" data-diff={line.kind === 'same' ? undefined : line.kind} data-n={line.kind === 'same' ? ' ' : undefined}>
				<span>{line.kind !== 'same' && <span class="visually-hidden">{line.kind === 'add' ? 'added: ' : 'removed: '}</span>}
					{line.kind !== 'same' && pieces ? words(pieces, line.kind) : highlight(line.text || ' ')}</span>
			</div>);
	}
	return <div class="code-view" role="group" aria-label={label} tabIndex={0}>{rows}</div>;
}

export type ChangeItem = { kind: 'gain' | 'loss' | 'pass' | 'fail'; what: ComponentChildren; why?: ComponentChildren };
const signs = { gain: ['plus', 'gains'], loss: ['minus', 'loses'], pass: ['check', 'passes'], fail: ['x', 'fails'] } as const;
export const Changes = ({ items }: { items: ChangeItem[] }) => (
	<ul class="changes">{items.map((item, i) => (
		<li key={i} data-change={item.kind}><Icon name={signs[item.kind][0]} label={signs[item.kind][1]} /><div>{item.what}</div>{item.why && <div class="why">{item.why}</div>}</li>
	))}</ul>
);
