import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions, emptyMachines, has, isBehind, presenceRuns, presenceWords, reduceMachines, stale, stateOf, urgency, type MachineState } from '../src/data/machines';
import { FLAG } from '../src/data/types';
import { columns, row } from './make';

const loaded = (...rows: Parameters<typeof columns>[0]): MachineState => reduceMachines(emptyMachines(), { type: 'list', answer: columns(rows) });

test('columns become rows with their owner and their words', () => {
	const s = loaded(row('5'), row('6', { user: '', tags: ['tag:ci'] }), row('7', { user: '2' }));
	assert.equal(s.loaded, true);
	assert.equal(s.byId.get('5')!.owner, 'Lena Hoffmann');
	assert.equal(s.byId.get('6')!.owner, '');
	assert.equal(s.byId.get('7')!.owner, 'mia');
	assert.match(s.byId.get('6')!.hay, /tag:ci/);
	assert.equal(s.byId.get('5')!.changed, 0, 'nothing is tinted at the first look');
});

test('a whole list removes what is not in it; a part removes only what was asked for', () => {
	let s = loaded(row('1'), row('2'), row('3'));
	s = reduceMachines(s, { type: 'some', ids: ['1', '2'], answer: columns([row('1', { name: 'new' })]) });
	assert.deepEqual([...s.byId.keys()].sort(), ['1', '3']);
	assert.equal(s.byId.get('1')!.name, 'new');
	assert.ok(s.byId.get('1')!.changed > 0, 'a changed row is tinted');
	assert.equal(s.byId.get('3')!.changed, 0);
	s = reduceMachines(s, { type: 'list', answer: columns([row('3')]) });
	assert.deepEqual([...s.byId.keys()], ['3']);
});

test('a reload that says the same tints nothing', () => {
	let s = loaded(row('1'));
	s = reduceMachines(s, { type: 'list', answer: columns([row('1', { seenMs: 2000 })]) });
	assert.equal(s.byId.get('1')!.changed, 0);
});

test('going and coming is known from the event alone, with its place in the strip', () => {
	const day = 86_400_000, at = day * 10;
	let s = loaded(row('1'));
	s = reduceMachines(s, { type: 'events', changes: [{ kind: 'machine', id: '1', action: 'offline', atMs: at + 60_000 }], nowMs: at + 60_000 });
	assert.equal(has(s.byId.get('1')!, 'online'), false);
	assert.deepEqual(s.byId.get('1')!.presence, [1, 1441]);
	s = reduceMachines(s, { type: 'events', changes: [{ kind: 'machine', id: '1', action: 'offline', atMs: at + 70_000 }], nowMs: at + 70_000 });
	assert.deepEqual(s.byId.get('1')!.presence, [1, 1441], 'said twice is once');
	s = reduceMachines(s, { type: 'events', changes: [{ kind: 'machine', id: '1', action: 'online', atMs: at + 180_000 }], nowMs: at + 180_000 });
	assert.deepEqual(s.byId.get('1')!.presence, [1, 1441, 1443]);
	assert.equal(s.byId.get('1')!.seenMs, at + 180_000);
});

test('events that say too little name what has to be asked for', () => {
	let s = loaded(row('1'));
	const changes = [{ kind: 'machine', id: '1', action: 'offline' }, { kind: 'machine', id: '1', action: 'report' }, { kind: 'machine', id: '9', action: 'online' }, { kind: 'user', id: '2', action: 'update' }, { kind: 'machine', id: '8', action: 'delete' }] as const;
	assert.deepEqual(stale(s, [...changes]).sort(), ['1', '9']);
	assert.deepEqual(stale(s, [changes[0]]), []);
	s = reduceMachines(s, { type: 'events', changes: [{ kind: 'machine', id: '1', action: 'delete' }], nowMs: 0 });
	assert.equal(s.byId.size, 0);
});

test('presence: runs in the window, which moves with the time', () => {
	assert.deepEqual(presenceRuns([1], 0, 0), [[0, 1440]]);
	assert.deepEqual(presenceRuns([0], 0, 0), []);
	assert.deepEqual(presenceRuns([2, 1400], 0, 0), [[1400, 1440]]);
	assert.deepEqual(presenceRuns([1, 60, 90], 0, 0), [[0, 60], [90, 1440]]);
	assert.deepEqual(presenceRuns([1, 60, 90], 0, 60 * 60_000), [[30, 1440]], 'an hour later the first run has left');
	assert.equal(presenceWords(presenceRuns([1], 0, 0)), 'Connected all day');
	assert.equal(presenceWords(presenceRuns([1, 60, 780], 0, 0)), 'Connected 50 % of the last day, 1 gap');
	assert.equal(presenceWords([]), 'Not connected in the last day');
	assert.equal(presenceWords([[1438, 1440]], 1440, 'day', 1438), 'Connected since it joined');
	assert.equal(presenceWords([[1340, 1390]], 1440, 'day', 1340), 'Connected 50 % of the time since it joined, 1 gap');
});

test('what asks for attention, and in which order', () => {
	const s = loaded(row('1', { flags: FLAG.waits }), row('2', { flags: FLAG.online | FLAG.routesWait }), row('3', { flags: FLAG.online, expiresMs: 86_400_000 * 12 }), row('4', { flags: FLAG.expired }), row('5', { flags: FLAG.exitOffered | FLAG.exitApproved }),
		row('6', { flags: FLAG.noExpiry, expiresMs: 86_400_000 * 11 }));
	const now = 86_400_000 * 10, u = (id: string) => urgency(s.byId.get(id)!, now);
	assert.ok(u('1') > 0 && u('1') < u('2') && u('2') < u('3') && u('3') < u('4'));
	assert.equal(u('5'), 0);
	assert.equal(u('6'), 0, 'a key that does not expire is no matter');
	assert.equal(stateOf(s.byId.get('1')!, now), 'waiting');
	assert.equal(stateOf(s.byId.get('4')!, now), 'blocked');
});

test('versions', () => {
	assert.ok(compareVersions('1.98.2', '1.100.0') < 0);
	assert.equal(compareVersions('1.98.2-t123', '1.98.2'), 0);
	assert.equal(isBehind('1.98.1', '1.98.2'), false, 'a patch is nobody’s business');
	assert.equal(isBehind('1.96.4', '1.98.2'), true);
	assert.equal(isBehind('', '1.98.2'), false);
});

test('10,000 rows and a burst of events take little time', () => {
	const many = Array.from({ length: 10_000 }, (_, i) => row(String(i + 1), { name: `node-${i}`, v4: `100.64.${i >> 8}.${i & 255}` }));
	const began = performance.now();
	let s = loaded(...many);
	const list = performance.now();
	for (let i = 0; i < 200; i++) s = reduceMachines(s, { type: 'events', changes: [{ kind: 'machine', id: String(i + 1), action: 'offline', atMs: 86_400_000 * 10 + i }], nowMs: 86_400_000 * 10 });
	const end = performance.now();
	assert.equal([...s.byId.values()].filter(m => !has(m, 'online')).length, 200);
	assert.ok(list - began < 2000, `list ${list - began} ms`);
	assert.ok(end - list < 500, `events ${end - list} ms`);
});
