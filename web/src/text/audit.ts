// Log records as sentences. The record's names are the server's: kind and action of docs/audit.md.
import type { AuditRecord } from '../data/types';

const KINDS: Record<string, string> = {
	node: 'machine', machine: 'machine', user: 'person', auth_key: 'auth key', key: 'key', api_key: 'API key', oauth_client: 'OAuth client', policy: 'access policy', setting: 'setting', dns: 'DNS', webhook: 'webhook', identity: 'sign-in', session: 'session',
	service: 'service', lock: 'tailnet lock', route: 'route', login: 'login', ssh: 'SSH session', draft: 'draft', invite: 'invite',
};
const show = (value: unknown): string => typeof value === 'string' ? value : JSON.stringify(value) ?? '';
const member = (value: unknown, key: string): unknown => value && typeof value === 'object' ? (value as Record<string, unknown>)[key] : undefined;

/** Without its actor: "renamed it; it was debian-gw". */
export function sentence(r: AuditRecord): string {
	const kind = KINDS[r.kind] ?? r.kind, name = r.target || r.targetId, [before, after] = [r.before, r.after];
	const changed = before && after && typeof before === 'object' && typeof after === 'object'
		? Object.keys(after as object).filter(k => JSON.stringify(member(before, k)) !== JSON.stringify(member(after, k))) : [];
	const verb = r.action.replace(/^.*[./]/, '').replace(/[_-]/g, ' ');
	if (changed.length === 1) return `${verb} ${kind} ${name}: ${changed[0]} ${show(member(before, changed[0]!)) || 'nothing'} → ${show(member(after, changed[0]!)) || 'nothing'}`;
	return `${verb} ${kind} ${name}${changed.length ? `: ${changed.join(', ')}` : ''}`.replace(/^./, c => c.toUpperCase());
}
