// Answers of /policy, and how parties and rules are called.
export type Place = { section: 'grants' | 'acls' | 'ssh' | 'default'; index: number; line: number };
export type Fix = { from: number; to: number; replacement: string; label: string };
export type Fault = { line: number; column: number; from: number; to: number; text: string; fix?: Fix };
export type Name = { kind: string; name: string };
export type Party = { key: string; names: Name[]; more: number; people: number; machines: number; examples: { id: string; name: string }[] };
export type Ports = { all: boolean; text: string; list: string[] };
export type Version = { version: number; author: string; note: string; createdAt: string | null; policy: string };
export type VersionRow = { version: number; author: string; note: string; createdAt: string | null; bytes: number; inForce: boolean; gained: number | null; lost: number | null; machines: number | null };
export type Lockout = { kind: 'console' | 'own-way' | 'ssh'; refused: boolean; text: string };
export type Change = { what: 'gained' | 'lost'; from: Party; to: Party; ports: Ports; now: Ports | null; connections: number; rules: Place[] };
export type Changed = { gained: number; lost: number; items: Change[]; more: number; exact: boolean };
export type TestFailure = { line: number; column: number; from: number; to: number; text: string; ssh: boolean; src: string; dst: string; expected: string; rules: Place[] };
export type Touched = { changed: number; total: number; first: { id: string; name: string }[]; filters: number; ssh: number; attributes: number } | null;
export type Preview = {
	version: number; base: { current: boolean; version: number; author: string; note: string; createdAt: string | null }; valid: boolean; errors: Fault[]; warnings: Fault[]; changes: Changed | null; machines: Touched;
	tests: { total: number; passed: number; failures: TestFailure[] } | null; lockout: Lockout[]; partial: boolean; hidden: boolean; tookUs: number;
};
export type DiffAnswer = { from: number; to: number | null; diff: string; changes: Changed | null; machines: Touched; hidden: boolean };
export type Draft = { policy: string; base: number; updatedAt: string; conflict: null | { version: number; author: string; note: string; createdAt: string } };
export type Step = { kind: string; text: string; id?: string; line?: number };
export type Pair = { allowed?: boolean; sentence?: string; chain?: Step[] };
export type Explain = { allowed?: boolean | string; pairs: Pair[]; sentence?: string };
export type Column = Party & { kind: 'self' | 'machines' | 'range' | 'internet'; routers: string[] };
export type Cell = { row: number; column: number; ports: Ports | null; rules: Place[]; before?: Ports | null; some?: true; users?: string[]; check?: boolean };
export type Matrix = { version: number; rows: Party[]; columns: Column[]; cells: Cell[]; own: boolean; truncated: boolean };
export type Edge = { rule: Place; text: string; from: Party; to: Column; ports: Ports; change?: 'added' | 'removed' };
export type Graph = { version: number; direction: 'from' | 'to'; of: Party; edges: Edge[] };

const nameWords = (n: Name): string => n.kind === 'self' ? 'own machines' : n.kind === 'internet' ? 'the Internet' : n.kind === 'any' ? 'everything' : n.kind === 'others' ? (n.name === 'autogroup:tagged' ? 'other tags' : 'other members') : n.name;
export const partyName = (p: Party): string => p.names.map(nameWords).join(', ') + (p.more ? ` and ${p.more} more` : '');
/** Words of ours begin a sentence with a capital; names stay as they are written. */
export const capital = (words: string): string => /^(own machines|the Internet|everything|other (tags|members)|without rules|line \d)/.test(words) ? words.replace(/^./, c => c.toUpperCase()) : words;
const count = (n: number, one: string, many: string): string => n === 1 ? `1 ${one}` : `${n.toLocaleString('en')} ${many}`;
export const partySize = (p: Party): string => [p.people ? count(p.people, 'person', 'people') : '', p.machines ? count(p.machines, 'machine', 'machines') : ''].filter(Boolean).join(', ');
export const examples = (p: Party): string => p.examples.length ? p.examples.map(e => e.name).join(', ') + (p.machines > p.examples.length ? ` and ${p.machines - p.examples.length} more` : '') : '';
export const ruleWords = (p: Place): string => p.section === 'default' ? 'without rules all is open' : p.line ? `line ${p.line}` : `${p.section} ${p.index + 1}`;
export const rulesWords = (list: Place[]): string => {
	const lines = [...new Set(list.map(ruleWords))];
	return lines.length > 3 ? `${lines.slice(0, 3).join(', ')} and ${lines.length - 3} more` : lines.join(', ').replace(/, line /g, ', ');
};
export const machinesWords = (n: number): string => count(n, 'machine', 'machines');

/** "omar@… can reach tag:prod on 443", as parts. */
export function changeWords(c: Change): { who: string; what: string; why: string } {
	const to = partyName(c.to), on = c.ports.all ? '' : ` on ${c.ports.text}`;
	const wide = /65535|all udp/.test(c.ports.text); // "every port but 443" says more than "0-442, 444-65535"
	const what = c.now && wide ? (c.what === 'gained' ? `can reach every port of ${to}, before only ${c.now.text}` : `lost every port but ${c.now.text} on ${to}`) : c.what === 'gained' ? `can${c.now ? ' also' : ''} reach ${to}${on}` : c.now ? `lost ${c.ports.text} on ${to}, keeps ${c.now.text}` : `can no longer reach ${to}${on}`;
	const m = Math.max(c.from.machines, 1), n = Math.max(c.to.machines, 1), size = m > 1 && n > 1 ? `${m} × ${n} machines` : machinesWords(Math.max(m, n));
	return { who: partyName(c.from), what, why: [size, rulesWords(c.rules)].filter(Boolean).join(' · ') };
}

/** The commonest faults as a person would say them; the server's words otherwise, without the member that they are about. */
export function faultWords(text: string): string {
	const tag = /tag not found: "?(tag:[\w-]+)"?/.exec(text), group = /group not found: "?(group:[\w.-]+)"?/.exec(text);
	if (tag) return `${tag[1]} is not in tagOwners, so no machine can have it.`;
	if (group) return `${group[1]} is not in groups, so nobody is in it.`;
	return text.replace(/^(?:src|dst|ip|users|approver|proto)=/, '').replace(/^./, c => c.toUpperCase());
}
