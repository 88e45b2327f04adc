// People as GET /users answers them, and what can be looked for. No DOM.
import type { Role } from './types';

export type Person = {
	id: string; name: string; displayName: string; email: string; picture: string; role: Role; state: 'active' | 'suspended' | 'waiting'; provider: string; providerId: string;
	groups: string[]; machines: number; online: number; createdMs: number; seenMs: number; identities: number; password: boolean;
};
export type Identity = { id: string; provider: string; issuer: string; subject: string; login: string; groups: string[]; createdAt: string | null; lastLogin: string | null; checkedAt: string | null; goneAt: string | null };
export type Session = { id: string; userId: string; user: string; kind: string; by: string; remote: string; agent: string; createdAt: string; signedInAt: string | null; expiresAt: string };
export type PersonAnswer = { user: Person; identities: Identity[]; sessions: Session[] };
export type Invite = { id: string; userId: string; user: string; role: Role; createdMs: number; expiresMs: number };

export const called = (p: { displayName: string; name: string }): string => p.displayName || p.name;
const ADMINS = new Set<Role>(['owner', 'admin', 'network-admin', 'it-admin']);

export const VIEWS: Record<string, (p: Person) => boolean> = {
	'': () => true,
	attention: p => p.state === 'waiting',
	admins: p => ADMINS.has(p.role),
	suspended: p => p.state === 'suspended',
};

/** Every word has to fit: role:, state: and group: by their names, others by name, address, group or provider. */
export function fits(p: Person, query: string): boolean {
	const hay = [p.name, p.displayName, p.email, p.provider, ...p.groups].join('\n').toLowerCase();
	return query.toLowerCase().split(/\s+/).filter(Boolean).every(word => {
		const [key, value] = word.includes(':') ? [word.slice(0, word.indexOf(':')), word.slice(word.indexOf(':') + 1)] : ['', word];
		if (key === 'role') return p.role.startsWith(value.replaceAll('_', '-'));
		if (key === 'state') return p.state.startsWith(value);
		if (key === 'group') return p.groups.some(g => g.toLowerCase().includes(value));
		return hay.includes(word);
	});
}
/** What waits first, then by name. */
export const order = (a: Person, b: Person): number => Number(b.state === 'waiting') - Number(a.state === 'waiting') || called(a).localeCompare(called(b), 'en', { sensitivity: 'base', numeric: true });

/** "Pocket ID", "a password", "a link": how somebody gets in. */
export function waysIn(p: Person): string {
	const ways = [p.provider, p.password ? 'password' : ''].filter(Boolean);
	return ways.length ? ways.join(', ') : 'link only';
}
