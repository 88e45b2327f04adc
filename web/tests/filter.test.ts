import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, complete, contains, matcher, nearest, parse, sorted, sorter, type Context } from '../src/data/filter';
import { emptyMachines, reduceMachines, type Machine } from '../src/data/machines';
import { FLAG } from '../src/data/types';
import { columns, row } from './make';

const DAY = 86_400_000, now = DAY * 10;
const context: Context = { nowMs: now, me: '1', regions: new Map([[1, 'Nuremberg'], [2, 'New York']]) };
const all: Machine[] = [...reduceMachines(emptyMachines(), { type: 'list', answer: columns([
	row('1', { name: 'db-primary', tags: ['tag:prod'], user: '' }), row('2', { name: 'web-10', tags: ['tag:prod', 'tag:web'], user: '', flags: 0, seenMs: now - 8 * DAY }), row('3', { name: 'web-9', user: '2', os: 'macOS', version: '1.94.1', relay: 2 }),
	row('4', { name: 'gw', routes: ['10.40.0.0/16'], approved: ['10.40.0.0/16'], flags: FLAG.online | FLAG.subnets }), row('5', { name: 'waits', flags: FLAG.waits, seenMs: now - DAY / 2 }),
], now) }).byId.values()];
const found = (q: string): string => { const fits = matcher(parse(q), context, '1.98.2'); return all.filter(fits).map(m => m.id).join(''); };

test('words and tokens, all of which hold', () => {
	assert.equal(found(''), '12345');
	assert.equal(found('web'), '23');
	assert.equal(found('tag:prod'), '12');
	assert.equal(found('tag:prod web'), '2');
	assert.equal(found('-tag:prod'), '345');
	assert.equal(found('is:online tag:prod'), '1');
	assert.equal(found('is:offline'), '25');
	assert.equal(found('is:waiting'), '5');
	assert.equal(found('is:attention'), '5');
	assert.equal(found('owner:mia'), '3');
	assert.equal(found('owner:me'), '45');
	assert.equal(found('owner:"lena hoff"'), '45');
	assert.equal(found('os:macos'), '3');
	assert.equal(found('version:<1.96'), '3');
	assert.equal(found('version:1.98'), '1245');
	assert.equal(found('seen:>7d'), '2');
	assert.equal(found('seen:<1d'), '1345');
	assert.equal(found('addr:100.64.0.3'), '3');
	assert.equal(found('addr:100.64.0.0/30'), '123');
	assert.equal(found('relay:new'), '3');
	assert.equal(found('100.64.0.4'), '4');
	assert.equal(found('LENA'), '45');
});

test('a route is found by an address or a prefix inside it', () => {
	assert.equal(found('route:10.40.7.12'), '4');
	assert.equal(found('route:10.40.0.0/16'), '4');
	assert.equal(found('route:10.0.0.0/8'), '4');
	assert.equal(found('route:10.41.0.1'), '');
});

test('what is half typed or not known hides nothing, and says what is wrong', () => {
	assert.equal(found('tag:'), '12345');
	assert.equal(found('-is:'), '12345');
	assert.equal(found('is:onlin'), '12345');
	assert.equal(parse('is:onlin')[0]!.wrong, 'is:onlin is not known');
	assert.equal(found('http://x'), '', 'a colon in a word makes no token of it');
});

test('addresses', () => {
	assert.equal(address('0.0.1.0'), 256n);
	assert.equal(address('::1'), 1n);
	assert.equal(address('300.0.0.1'), undefined);
	assert.equal(address('1::2::3'), undefined);
	assert.ok(contains('fd7a::/16', 'fd7a:1::2'));
	assert.ok(!contains('10.0.0.0/8', '::a00:1'));
	assert.ok(!contains('10.40.0.0/16', '10.0.0.0/8'));
	assert.ok(contains('0.0.0.0/0', '255.255.255.255'));
});

test('completion: keys, then real values, the commonest first', () => {
	const at = (text: string) => complete(text, text.length, all, context).options.map(o => o.insert);
	assert.deepEqual(at('ta'), ['tag:']);
	assert.deepEqual(at('x tag:'), ['tag:prod ', 'tag:web ']);
	assert.deepEqual(at('tag:w'), ['tag:web ']);
	assert.ok(at('is:').includes('is:online '));
	assert.deepEqual(at('relay:'), ['relay:Nuremberg ', 'relay:"New York" ']);
	assert.equal(complete('a tag:p', 7, all, context).from, 2);
	assert.equal(complete('-tag:p', 6, all, context).from, 1);
	assert.deepEqual(at(''), []);
});

test('the nearest real value', () => {
	assert.deepEqual(nearest(parse('os:linux tag:prd'), all)!.value, 'prod');
	assert.equal(nearest(parse('tag:prod'), all), undefined);
	assert.equal(nearest(parse('tag:zzzzzzzz'), all), undefined);
});

test('sorting: attention first, names as people count them', () => {
	const ids = (sort: string) => [...all].sort(sorter(sort, now)).map(m => m.id).join('');
	assert.equal(ids(''), '51432');
	for (const sort of ['', 'name', '-seen']) assert.deepEqual(sorted([...all], sort, now).map(m => m.id), [...all].sort(sorter(sort, now)).map(m => m.id));
	assert.equal(ids('name'), '14532');
	assert.equal(ids('-name'), '23541');
	assert.equal(ids('address'), '12345');
	assert.equal(ids('seen')[4], '2');
	assert.equal(ids('-seen')[0], '2');
});
