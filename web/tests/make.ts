// Answers as the server writes them, for tests.
import type { MachineColumns, MachineRow } from '../src/data/types';

export const row = (id: string, more: Partial<MachineRow> = {}): MachineRow => ({
	id, name: `m${id}`, host: '', v4: `100.64.0.${id}`, v6: `fd7a:115c:a1e0::${id}`, user: '1', tags: [], os: 'linux', osVersion: 'Debian 12', version: '1.98.2', flags: 1, seenMs: 1000, createdMs: 500, expiresMs: 0,
	relay: 1, routes: [], approved: [], presence: [1], ...more,
});
export const OWNERS = [{ id: '1', name: 'lena', displayName: 'Lena Hoffmann', picture: '' }, { id: '2', name: 'mia', displayName: '', picture: '' }];

export function columns(rows: MachineRow[], nowMs = 86_400_000 * 10): MachineColumns {
	const strings: string[] = [], index = (text: string) => { const at = strings.indexOf(text); return at >= 0 ? at : strings.push(text) - 1; };
	const c = <K extends keyof MachineRow>(key: K) => rows.map(r => r[key]);
	return {
		nowMs, lastEvent: '1', n: rows.length, newest: '1.98.2', owners: OWNERS,
		columns: {
			id: c('id'), name: c('name'), host: c('host'), v4: c('v4'), v6: c('v6'), tags: c('tags'), flags: c('flags'), seenMs: c('seenMs'), createdMs: c('createdMs'), expiresMs: c('expiresMs'), relay: c('relay'),
			routes: c('routes'), approved: c('approved'), presence: c('presence'), user: rows.map(r => OWNERS.findIndex(o => o.id === r.user)), os: rows.map(r => index(r.os)), osVersion: rows.map(r => index(r.osVersion)), version: rows.map(r => index(r.version)),
		},
		strings,
	};
}
