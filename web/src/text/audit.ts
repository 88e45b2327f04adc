// Log records as sentences. The record's names are the server's: kind, action and members of docs/audit.md.
import type { AuditRecord } from '../data/types';
import { WORDS as SETTINGS } from './settings';
import { roleWords } from './users';

const KINDS: Record<string, string> = {
	node: 'the machine', user: 'the person', authkey: 'the auth key', apikey: 'the API key', policy: 'the access policy', setting: 'the setting', webhook: 'the webhook', identity: 'the sign-in of', session: 'a browser of', signin: 'the session of',
	service: 'the service', lock: 'the tailnet lock', login: 'the request of', ssh: 'an SSH session', account: 'the password of', draft: 'a draft', passkey: 'the passkey of', wish: 'the question for', invite: 'the invite of', more: 'further things',
};
const VIAS: Record<string, string> = { cli: 'Command line', v1: 'API v1', v2: 'API v2', native: 'API', console: 'Console', oidc: 'Sign-in', file: 'File', node: 'Machine', system: 'Server', web: 'Browser' };
export const viaWords = (via: string): string => VIAS[via] ?? via;
export const kindWords = (kind: string): string => (KINDS[kind] ?? kind).replace(/^(the|an?) /, '').replace(/ of$/, '');

type Members = Record<string, unknown>;
const members = (value: unknown): Members => value && typeof value === 'object' && !Array.isArray(value) ? value as Members : {};
const list = (value: unknown): string[] => Array.isArray(value) ? value.map(String) : typeof value === 'string' && value ? [value] : [];
const show = (value: unknown): string => value === undefined || value === null || value === '' ? 'nothing' : value === true || value === 'true' ? 'on' : value === false || value === 'false' ? 'off' : typeof value === 'string' ? value : Array.isArray(value) ? value.map(String).join(', ') || 'nothing' : JSON.stringify(value);
const short = (text: string): string => text.length > 80 ? `${text.slice(0, 79)}…` : text;

const NODE: Record<string, string> = {
	hostname: 'what it calls itself', ipv4: 'its address', ipv6: 'its IPv6 address', expires: 'when its key expires', keyExpiryDisabled: 'whether its key expires', nodeKey: 'its key', machineKey: 'its machine key',
	ephemeral: 'whether it is ephemeral', attributes: 'its attributes', keySigned: 'the signature of its key', user: 'its owner', authKey: 'the auth key it came with',
};

function ofNode(name: string, before: Members, after: Members): string {
	const changed = Object.keys({ ...before, ...after });
	if ('name' in after) return `Renamed ${show(before.name)} to ${show(after.name)}`;
	if (changed.includes('approved')) return after.approved ? `Approved ${name}` : `Took back the approval of ${name}`;
	if (changed.includes('approvedRoutes')) {
		const old = list(before.approvedRoutes), now = list(after.approvedRoutes), gained = now.filter(p => !old.includes(p)), lost = old.filter(p => !now.includes(p));
		const word = (prefixes: string[]) => prefixes.every(p => p === '0.0.0.0/0' || p === '::/0') ? 'exit node' : prefixes.join(', ');
		if (gained.length || lost.length) return [gained.length ? `Approved ${word(gained)} of ${name}` : '', lost.length ? `${gained.length ? 'took' : 'Took'} ${word(lost)} from ${name}` : ''].filter(Boolean).join(', ');
	}
	if (changed.includes('tags')) return `Changed the tags of ${name} from ${show(before.tags)} to ${show(after.tags)}`;
	if (changed.length === 1 && changed[0] === 'expires') return after.expires ? `Changed when the key of ${name} expires` : `The key of ${name} does not expire`;
	if (changed.includes('keyExpiryDisabled')) return after.keyExpiryDisabled ? `Turned key expiry off for ${name}` : `Turned key expiry on for ${name}`;
	if (changed.includes('nodeKey')) return `${name} got a new key`;
	return `Changed ${changed.map(k => NODE[k] ?? k).join(', ') || 'something'} of ${name}`;
}

function ofUser(name: string, before: Members, after: Members): string {
	if ('role' in after) return `Made ${name} ${roleWords(String(after.role)).toLowerCase()}, before ${roleWords(String(before.role ?? 'member')).toLowerCase()}`;
	if ('approved' in after) return after.approved === false || after.approved === 'false' ? `${name} waits for approval` : `Approved ${name}`;
	if ('suspended' in after || 'suspended' in before) return after.suspended ? `Suspended ${name}` : `Restored ${name}`;
	if ('name' in after) return `Renamed ${show(before.name)} to ${show(after.name)}`;
	return `Changed ${Object.keys({ ...before, ...after }).join(', ')} of ${name}`;
}

function ofKey(kind: string, name: string, before: Members, after: Members, action: string): string {
	const what = kind === 'authkey' ? 'auth key' : (after.type ?? before.type) === 'client' ? 'OAuth client' : 'API key', shown = show(after.description ?? before.description ?? name);
	if (action === 'create') {
		const facts = [after.reusable && 'reusable', after.ephemeral && 'ephemeral', after.preauthorized && 'approved at once', ...list(after.tags)].filter(Boolean).join(', ');
		return `Created the ${what} ${shown === 'nothing' ? name : shown}${facts ? `: ${facts}` : ''}`;
	}
	if (action === 'delete') return `Removed the ${what} ${name}`;
	if ('revoked' in after) return `Revoked the ${what} ${name}`;
	if (after.used) return `Used the ${what} ${name}`;
	return `Changed ${Object.keys({ ...before, ...after }).join(', ')} of the ${what} ${name}`;
}

/** Without its actor: "Renamed debian-13 to nas-attic". */
export function sentence(r: AuditRecord): string {
	const name = r.target || r.targetId, before = members(r.before), after = members(r.after), kind = KINDS[r.kind] ?? r.kind;
	if (r.kind === 'authkey' || r.kind === 'apikey') return ofKey(r.kind, name, before, after, r.action);
	if (r.kind === 'policy') return `Changed the access policy${after.version ? ` to version ${show(after.version)}` : ''}`;
	if (r.kind === 'setting') {
		const words = SETTINGS[name] ? `“${SETTINGS[name][0]}”` : name;
		const value = after.value ?? Object.values(after)[0], old = before.value ?? Object.values(before)[0];
		return r.action === 'delete' ? `Reset ${words}, which was ${short(show(old))}` : `Set ${words} to ${short(show(value))}${old !== undefined ? `, before ${short(show(old))}` : ''}`;
	}
	if (r.kind === 'signin') return r.action === 'create' ? r.via === 'cli' ? 'Made a link that signs a browser in' : 'Signed in' : r.action === 'delete' ? r.via === 'cli' ? 'Signed a browser out' : 'Ended a session' : 'Renewed a session';
	if (r.action === 'create') return r.kind === 'node' ? `Added ${name}` : r.kind === 'user' ? `Added ${name}` : `Added ${kind}${name ? ` ${name}` : ''}`;
	if (r.action === 'delete') return r.kind === 'node' || r.kind === 'user' ? `Removed ${name}` : `Removed ${kind}${name ? ` ${name}` : ''}`;
	if (r.kind === 'node') return ofNode(name, before, after);
	if (r.kind === 'user') return ofUser(name, before, after);
	const changed = Object.keys({ ...before, ...after });
	return `Changed ${kind}${name ? ` ${name}` : ''}${changed.length ? `: ${changed.join(', ')}` : ''}`;
}
