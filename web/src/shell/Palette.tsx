import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Avatar, Dot, Icon, Switch, Tag } from '../components/basics';
import { Dialog, act } from '../components/overlays';
import type { IconName } from '../components/icons';
import { post } from '../data/api';
import { rank } from '../data/fuzzy';
import { has, stateOf, type Machine } from '../data/machines';
import { recent, singleKeys } from '../data/prefs';
import { go, match } from '../data/router';
import { machineList, may, putMachine, useResource } from '../data/store';
import { now } from '../data/time';
import type { MachineRow } from '../data/types';
import { KEY_HELP, text } from '../text/shell';
import { commandKey, helpOpen, isMac, paletteOpen } from './keys';
import { NAV, ROUTES } from './nav';

type Result = { key: string; group: keyof typeof text.groups; words: string; exact?: string[]; hint?: string; icon?: IconName; machine?: Machine; person?: string; tag?: string; run: () => void };
type Person = { id: string; name: string; displayName: string; email: string };

const MOST_OF_A_GROUP = 6, MOST_RECENT = 5;

const approve = (m: Machine) => act(`Approved ${m.name}`, `${m.name} was not approved`,
	async () => putMachine((await post<{ machine: MachineRow }>(`/machines/${m.id}/approve`, { approved: true })).machine),
	async () => putMachine((await post<{ machine: MachineRow }>(`/machines/${m.id}/approve`, { approved: false })).machine));

/** Verbs on what is found: they show for the first machines that match, or when their verb is typed. */
function verbs(machines: Machine[]): Result[] {
	const out: Result[] = [];
	for (const m of machines) {
		if (has(m, 'waits') && may('devices:core')) out.push({ key: `approve/${m.id}`, group: 'do', icon: 'check', words: `Approve ${m.name}`, run: () => void approve(m) });
		if (may('policy_file', 'read')) out.push({ key: `who/${m.id}`, group: 'do', icon: 'access', words: `Who can reach ${m.name}?`, run: () => go(`/access/reach?of=${encodeURIComponent(m.name)}&turn=to`) });
		if (may('policy_file', 'read')) out.push({ key: `what/${m.id}`, group: 'do', icon: 'access', words: `What can ${m.name} reach?`, run: () => go(`/access/reach?of=${encodeURIComponent(m.name)}`) });
	}
	return out;
}
function pages(): Result[] {
	const out: Result[] = NAV.flatMap(g => g.items).filter(i => may(i.scope, 'read')).map(i => ({ key: i.path, group: 'pages', icon: i.icon, words: i.text, run: () => go(i.path) }));
	if (may('policy_file', 'read')) out.push(
		{ key: '/access/reach', group: 'pages', icon: 'access', words: 'Who can reach what', run: () => go('/access/reach') },
		{ key: '/access/history', group: 'pages', icon: 'clock', words: 'Policy history', run: () => go('/access/history') },
		{ key: '/access/tests', group: 'pages', icon: 'check', words: 'Policy tests', run: () => go('/access/tests') });
	if (may('devices:core')) out.push({ key: 'add', group: 'do', icon: 'plus', words: 'Add a machine', run: () => go('/machines?add=1') });
	out.push({ key: 'attention', group: 'pages', icon: 'alert', words: 'Machines that need attention', run: () => go('/machines?view=attention') });
	for (const [key, words] of [['identity', 'Identity providers'], ['approval', 'Approval and expiry'], ['webhooks', 'Webhooks'], ['backup', 'Backup'], ['health', 'Health'], ['about', 'About this server']] as const)
		if (may('feature_settings', 'read')) out.push({ key: `/settings/${key}`, group: 'pages', icon: 'settings', words, hint: 'Settings', run: () => go(`/settings/${key}`) });
	return out.filter(r => !r.key.startsWith('/') || ROUTES.some(route => match(route.pattern, r.key)));
}

export function Palette() {
	const [typed, setTyped] = useState(''), [at, setAt] = useState(0), list = useRef<HTMLDivElement>(null);
	const people = useResource<{ users: Person[] }>(may('users', 'read') ? '/users' : null).data?.users ?? [];
	const close = () => { paletteOpen.value = false; };
	const results = useMemo<Result[]>(() => {
		const machines: Result[] = machineList.value.map(m => ({ key: `m/${m.id}`, group: 'machines', words: m.name, exact: [m.v4, m.v6, m.id], hint: m.v4, machine: m, run: () => go(`/machines/${m.id}`) }));
		const persons: Result[] = people.map(p => ({ key: `u/${p.id}`, group: 'people', words: p.displayName ? `${p.displayName} ${p.name}` : p.name, hint: p.email || p.name, person: p.displayName || p.name, run: () => go(`/users/${p.id}`) }));
		const tags: Result[] = [...new Set(machineList.value.flatMap(m => m.tags))].sort().map(t => ({ key: t, group: 'tags', words: t, tag: t, run: () => go(`/machines?q=${t}`) }));
		if (!typed.trim()) {
			const all = new Map([...machines, ...persons, ...tags, ...pages()].map(r => [r.key, r]));
			const before = recent.value.map(k => all.get(k)).filter(r => r !== undefined).map(r => ({ ...r, group: 'recent' as const }));
			return [...before, ...pages().filter(r => !recent.value.includes(r.key))];
		}
		const found = rank(typed, machines, MOST_OF_A_GROUP);
		const verb = /^(approve|who|what)\b/i.test(typed.trim()) ? machineList.value : found.map(r => r.machine!).slice(0, 2);
		return [...found, ...rank(typed, persons, MOST_OF_A_GROUP), ...rank(typed, tags, MOST_OF_A_GROUP), ...rank(typed, pages(), MOST_OF_A_GROUP),
			...(verb === machineList.value ? rank(typed, verbs(machineList.value), MOST_OF_A_GROUP) : verbs(verb))];
	}, [typed, people, machineList.value]);
	const chosen = Math.min(at, results.length - 1);
	useEffect(() => { list.current?.querySelector('[data-active]')?.scrollIntoView({ block: 'nearest' }); }, [chosen, typed]);
	const run = (r: Result | undefined) => {
		if (!r) return;
		close();
		recent.value = [r.key, ...recent.value.filter(k => k !== r.key)].slice(0, MOST_RECENT);
		r.run();
	};
	return (
		<Dialog class="palette" label={text.paletteLabel} onClose={close}>
			<div class="ask">
				<Icon name="search" />
				<input role="combobox" aria-label={text.paletteLabel} aria-expanded="true" aria-controls="palette-list" aria-activedescendant={results.length ? `palette-${chosen}` : undefined} data-autofocus
					placeholder={text.palettePlaceholder} value={typed} autocomplete="off" spellcheck={false} onInput={event => { setTyped(event.currentTarget.value); setAt(0); }}
					onKeyDown={event => {
						const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
						if (step) { event.preventDefault(); setAt((chosen + step + results.length) % Math.max(results.length, 1)); }
						else if (event.key === 'Enter') { event.preventDefault(); run(results[chosen]); }
					}} />
				<kbd>esc</kbd>
			</div>
			<div class="menu" role="listbox" id="palette-list" aria-label={text.paletteLabel} ref={list}>
				{results.map((r, i) => (
					<>
						{results[i - 1]?.group !== r.group && <h3 key={`h/${r.group}`} role="presentation">{text.groups[r.group]}</h3>}
						<div key={r.key} id={`palette-${i}`} role="option" aria-selected={i === chosen} data-active={i === chosen || undefined} onPointerMove={() => setAt(i)} onClick={() => run(r)}>
							{r.machine ? <Dot state={stateOf(r.machine, now.value)} /> : r.person ? <Avatar name={r.person} /> : r.icon ? <Icon name={r.icon} /> : null}
							{r.tag ? <Tag name={r.tag} /> : r.person ?? r.words}{r.hint && <span class="hint">{r.hint}</span>}
						</div>
					</>
				))}
			</div>
			{!results.length && <p class="none" role="status">{text.paletteNone(typed)}</p>}
		</Dialog>
	);
}

export function Help() {
	const close = () => { helpOpen.value = false; };
	return (
		<Dialog title={text.keysTitle} onClose={close} wide>
			<div class="key-help">{KEY_HELP.map(([head, rows]) => (
				<section key={head}><h3>{head}</h3><dl class="facts">{rows.map(([key, words]) => <div key={key}><dt><kbd>{isMac ? key : key.replace('⌘', commandKey)}</kbd></dt><dd>{words}</dd></div>)}</dl></section>
			))}</div>
			<div class="setting"><label for="single-keys"><b>{text.keysSingle}</b></label><Switch id="single-keys" checked={singleKeys.value} onChange={on => { singleKeys.value = on; }} /><p>{text.keysSingleHelp}</p></div>
			<div class="toolbar"><span class="push" /><button type="button" class="button" data-autofocus onClick={close}>{text.close}</button></div>
		</Dialog>
	);
}
