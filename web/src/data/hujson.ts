// HuJSON with places: enough to find tests, rules and names in a policy and to write into it without touching its comments. The server judges.
export type Node = { from: number; to: number } & (
	| { kind: 'object'; members: { key: string; keyFrom: number; value: Node }[] }
	| { kind: 'array'; items: Node[] }
	| { kind: 'text'; value: string }
	| { kind: 'other'; value: number | boolean | null });

const MOST_DEEP = 64;

/** The tree, or undefined where the text is no HuJSON. */
export function parse(text: string): Node | undefined {
	let at = 0, deep = 0;
	const space = () => {
		for (;;) {
			while (at < text.length && /[\s\uFEFF]/.test(text[at]!)) at++;
			if (text.startsWith('//', at)) { const end = text.indexOf('\n', at); at = end < 0 ? text.length : end; }
			else if (text.startsWith('/*', at)) { const end = text.indexOf('*/', at + 2); if (end < 0) throw new SyntaxError(); at = end + 2; }
			else return;
		}
	};
	const string = (): string => {
		const from = at++;
		while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
		if (at >= text.length) throw new SyntaxError();
		return JSON.parse(text.slice(from, ++at)) as string;
	};
	const value = (): Node => {
		space();
		if (++deep > MOST_DEEP) throw new SyntaxError();
		const from = at, c = text[at];
		let out: Node;
		if (c === '"') { const words = string(); out = { kind: 'text', value: words, from, to: at }; }
		else if (c === '{' || c === '[') {
			const members: { key: string; keyFrom: number; value: Node }[] = [], items: Node[] = [], end = c === '{' ? '}' : ']';
			at++;
			for (;;) {
				space();
				if (text[at] === end) { at++; break; }
				if (c === '{') {
					const keyFrom = at;
					if (text[at] !== '"') throw new SyntaxError();
					const key = string();
					space();
					if (text[at++] !== ':') throw new SyntaxError();
					members.push({ key, keyFrom, value: value() });
				} else items.push(value());
				space();
				if (text[at] === ',') at++; else if (text[at] !== end) throw new SyntaxError();
			}
			out = c === '{' ? { kind: 'object', members, from, to: at } : { kind: 'array', items, from, to: at };
		} else {
			const word = /^(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(text.slice(at, at + 40))?.[0];
			if (!word) throw new SyntaxError();
			at += word.length;
			out = { kind: 'other', value: JSON.parse(word) as number | boolean | null, from, to: at };
		}
		deep--;
		return out;
	};
	try {
		const root = value();
		space();
		return at === text.length ? root : undefined;
	} catch { return undefined; }
}

export const member = (node: Node | undefined, key: string): Node | undefined => node?.kind === 'object' ? node.members.find(m => m.key === key)?.value : undefined;
export const texts = (node: Node | undefined): string[] => node?.kind === 'array' ? node.items.flatMap(i => i.kind === 'text' ? [i.value] : []) : node?.kind === 'text' ? [node.value] : [];
export const lineOf = (text: string, at: number): number => { let n = 1; for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) n++; return n; };

export type PolicyTest = { line: number; src: string; proto: string; accept: string[]; deny: string[]; ssh: boolean };
export function testsOf(text: string): PolicyTest[] {
	const root = parse(text), out: PolicyTest[] = [];
	for (const section of ['tests', 'sshTests']) {
		const list = member(root, section);
		for (const item of list?.kind === 'array' ? list.items : []) {
			const one = (key: string) => texts(member(item, key));
			out.push({ line: lineOf(text, item.from), src: one('src')[0] ?? '', proto: one('proto')[0] ?? '', accept: section === 'tests' ? [...one('accept'), ...one('allow')] : one('accept').map(u => `${one('dst').join(', ')} as ${u}`),
				deny: section === 'tests' ? one('deny') : one('deny').map(u => `${one('dst').join(', ')} as ${u}`), ssh: section === 'sshTests' });
		}
	}
	return out;
}

/** Names that a policy defines: for completion, with what they are. */
export function namesOf(text: string): { name: string; what: string; at: number }[] {
	const root = parse(text), out: { name: string; what: string; at: number }[] = [];
	for (const [section, what] of [['groups', 'group'], ['tagOwners', 'tag'], ['hosts', 'host'], ['ipsets', 'address set'], ['postures', 'posture']] as const) {
		const node = member(root, section);
		if (node?.kind === 'object') for (const m of node.members) out.push({ name: m.key, what, at: m.keyFrom });
	}
	return out;
}

/** Adds a line to a list of the policy's top level, which is made where it is not; comments stay. */
export function addTo(text: string, section: string, item: string): string | undefined {
	const root = parse(text);
	if (root?.kind !== 'object') return undefined;
	const list = member(root, section);
	if (list?.kind === 'array') {
		const last = list.items[list.items.length - 1];
		if (!last) return `${text.slice(0, list.from)}[\n\t\t${item},\n\t]${text.slice(list.to)}`;
		const lineStart = text.lastIndexOf('\n', last.from) + 1, indent = /^[\t ]*/.exec(text.slice(lineStart))![0];
		let end = last.to, comma = ',';
		const rest = /^(?:[ \t]*\/\*.*?\*\/)*\s*,/.exec(text.slice(end, list.to));
		if (rest) { end += rest[0].length; comma = ''; }
		const comment = /^[ \t]*\/\/[^\n]*/.exec(text.slice(end, list.to));
		const after = comment ? end + comment[0].length : end;
		return `${text.slice(0, last.to)}${comma}${text.slice(last.to, after)}\n${indent}${item},${text.slice(after)}`;
	}
	const lastMember = root.members[root.members.length - 1], end = root.to - 1;
	if (!lastMember) return `${text.slice(0, end)}\n\t"${section}": [\n\t\t${item},\n\t],\n${text.slice(end)}`;
	const rest = /^\s*,/.exec(text.slice(lastMember.value.to, end)), at = lastMember.value.to + (rest ? rest[0].length : 0);
	return `${text.slice(0, lastMember.value.to)},${rest ? text.slice(lastMember.value.to + rest[0].length, at) : ''}\n\n\t"${section}": [\n\t\t${item},\n\t],${text.slice(at)}`;
}

export type Rule = { section: 'grants' | 'acls' | 'ssh'; from: number; to: number; src: string[]; dst: string[]; ports: string[]; node: Node };
/** The rule at a place in the text. */
export function ruleAt(text: string, at: number): Rule | undefined {
	const root = parse(text);
	for (const section of ['grants', 'acls', 'ssh'] as const) {
		const list = member(root, section);
		for (const item of list?.kind === 'array' ? list.items : []) {
			if (at < item.from || at > item.to || item.kind !== 'object') continue;
			return { section, from: item.from, to: item.to, src: texts(member(item, 'src')), dst: texts(member(item, 'dst')), ports: texts(member(item, section === 'ssh' ? 'users' : 'ip')), node: item };
		}
	}
	return undefined;
}

/** Writes a member's list of a rule anew, in place; the rest of the rule, comments too, stays. */
export function setList(text: string, rule: Rule, key: string, values: string[]): string {
	const node = member(rule.node, key), words = `[${values.map(v => JSON.stringify(v)).join(', ')}]`;
	if (node) return text.slice(0, node.from) + words + text.slice(node.to);
	const last = rule.node.kind === 'object' ? rule.node.members[rule.node.members.length - 1] : undefined;
	return last ? `${text.slice(0, last.value.to)}, "${key}": ${words}${text.slice(last.value.to)}` : text;
}

/** All rules, in the text's order. */
export function rulesOf(text: string): Rule[] {
	const root = parse(text), out: Rule[] = [];
	for (const section of ['grants', 'acls', 'ssh'] as const) {
		const list = member(root, section);
		for (const item of list?.kind === 'array' ? list.items : [])
			if (item.kind === 'object') out.push({ section, from: item.from, to: item.to, src: texts(member(item, 'src')), dst: texts(member(item, 'dst')), ports: texts(member(item, section === 'ssh' ? 'users' : 'ip')), node: item });
	}
	return out.sort((a, b) => a.from - b.from);
}

/** Without this rule, its comma and its line; comments of others stay. */
export function dropRule(text: string, rule: Rule): string {
	const comma = /^\s*,/.exec(text.slice(rule.to)), end = rule.to + (comma ? comma[0].length : 0), lineStart = text.lastIndexOf('\n', rule.from - 1) + 1, lineEnd = text.indexOf('\n', end);
	const alone = text.slice(lineStart, rule.from).trim() === '' && text.slice(end, lineEnd < 0 ? text.length : lineEnd).trim() === '';
	return alone ? text.slice(0, lineStart) + text.slice(lineEnd < 0 ? text.length : lineEnd + 1) : text.slice(0, rule.from) + text.slice(end);
}

/** Puts `"key": value` into an object of the policy, at a path of objects that are made where they are missing. undefined: the text is no object there. */
export function putAt(text: string, path: string[], key: string, value: string): string | undefined {
	let node = parse(text), depth = 0;
	if (node?.kind !== 'object') return undefined;
	for (; depth < path.length; depth++) {
		const next: Node | undefined = member(node, path[depth]!);
		if (!next) break;
		if (next.kind !== 'object') return undefined;
		node = next;
	}
	const there = depth === path.length ? member(node, key) : undefined;
	if (there) return text.slice(0, there.from) + value + text.slice(there.to);
	const inner = [...path.slice(depth), key].reduceRight((words, k, i, all) => i === all.length - 1 ? `"${k}": ${value}` : `"${k}": {${words}}`, '');
	if (node.kind !== 'object') return undefined;
	const last = node.members[node.members.length - 1];
	if (!last) return `${text.slice(0, node.from)}{${inner}}${text.slice(node.to)}`;
	const comma = /^\s*,/.exec(text.slice(last.value.to)), at = last.value.to + (comma ? comma[0].length : 0), lineStart = text.lastIndexOf('\n', last.keyFrom) + 1, indent = text.slice(lineStart, last.keyFrom);
	const onLine = indent.trim() === '';
	return `${text.slice(0, last.value.to)},${onLine ? `\n${indent}` : ' '}${inner}${onLine ? ',' : ''}${text.slice(at)}`;
}
