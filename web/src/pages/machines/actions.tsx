// What can be done to a machine, from its row, its page, the selection bar and the palette.
import { useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import { Button, Field, Notice, Tag, copyText } from '../../components/basics';
import { act, failed, openDanger, openForm, toast, type MenuItem } from '../../components/overlays';
import { del, post } from '../../data/api';
import { has, isExpired, type Machine } from '../../data/machines';
import { go } from '../../data/router';
import { dispatch, loadAttention, machineList, may, me, putMachine, reason, refresh } from '../../data/store';
import { serverNow } from '../../data/time';
import type { MachineDetail, MachineRow } from '../../data/types';
import { get } from '../../data/api';
import { until } from '../../data/time';

export const EXIT = ['0.0.0.0/0', '::/0'];

export async function call(id: string, verb: string, body: unknown = {}): Promise<void> {
	const answer = await post<{ machine: MachineRow }>(`/machines/${id}/${verb}`, body);
	if (answer.machine) putMachine(answer.machine);
	refresh(`/machines/${id}`);
}

export const approve = (m: Machine) => act(<>Approved <b>{m.name}</b></>, `${m.name} was not approved`,
	() => call(m.id, 'approve', { approved: true }), () => call(m.id, 'approve', { approved: false }));

/** The owner signs in again; an admin can give the time that the tailnet gives to new keys. */
export function extend(m: Machine): void {
	const days = signal('90');
	openForm({
		title: `Let ${m.name} stay for longer`, submit: 'Extend',
		body: () => (
			<>
				<p class="muted">Its key expires {until(m.expiresMs)}. Its person can also sign in again on it.</p>
				<Field label="The key expires in">{ids => <select class="input" {...ids} value={days.value} onChange={e => { days.value = e.currentTarget.value; }}>{['30', '90', '180', '365'].map(d => <option key={d} value={d}>{d} days</option>)}</select>}</Field>
			</>),
		run: () => call(m.id, 'expiry', { at: new Date(serverNow() + Number(days.value) * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z') }),
		after: () => toast(<>The key of <b>{m.name}</b> expires in {days.value} days</>),
	});
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
export const proper = (text: string): string => text.toLowerCase().normalize('NFKD').replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 63);

export function rename(m: Machine): void {
	const name = signal(m.name), domain = me.value?.tailnet.domain;
	const wrong = () => name.value === '' || NAME.test(name.value) ? '' : proper(name.value);
	openForm({
		title: `Rename ${m.name}`, submit: 'Rename', ready: () => name.value === '' || NAME.test(name.value),
		body: () => (
			<Field label="Name" help={name.value ? <>Others reach it as <code>{name.value}{domain ? `.${domain}` : ''}</code>. The old name stops working.</> : <>It is called as it calls itself, {m.host || m.name}.</>}
				wrong={wrong() ? <>A name has letters, digits and hyphens only. “{wrong()}” would work.</> : undefined}>
				{ids => <input class="input" {...ids} data-autofocus autocomplete="off" spellcheck={false} value={name.value} onInput={e => { name.value = e.currentTarget.value; }} />}
			</Field>),
		run: () => call(m.id, 'rename', { name: name.value }),
		after: () => toast(<>Renamed <b>{m.name}</b>{name.value && <> to <b>{name.value}</b></>}</>, () => call(m.id, 'rename', { name: m.name })
			.then(() => toast('Undone'), e => failed('Not renamed back', e))),
	});
}

export function TagPicker({ tags, onChange }: { tags: string[]; onChange: (tags: string[]) => void }) {
	const [typed, setTyped] = useState('');
	const known = [...new Set(machineList.value.flatMap(m => m.tags))].filter(t => !tags.includes(t)).sort();
	const add = (word: string) => {
		const name = word.trim().toLowerCase();
		if (!name) return;
		const tag = name.startsWith('tag:') ? name : `tag:${name}`;
		setTyped('');
		if (!tags.includes(tag)) onChange([...tags, tag]);
	};
	return (
		<div class="stack">
			{tags.length > 0 && <div class="chips">{tags.map(t => <span key={t} class="row together"><Tag name={t} /><Button label={`Remove ${t}`} icon="x" iconOnly kind="quiet" size="small" onClick={() => onChange(tags.filter(x => x !== t))} /></span>)}</div>}
			<Field label="Add a tag" help="Press Enter to add. A tag has to be in the policy's tagOwners.">{ids => (
				<input class="input code" {...ids} list="known-tags" data-autofocus autocomplete="off" spellcheck={false} placeholder="tag:prod" value={typed} onInput={e => setTyped(e.currentTarget.value)}
					onKeyDown={e => { if (e.key === 'Enter' && typed.trim()) { e.preventDefault(); add(typed); } }} onBlur={() => add(typed)} onChange={e => { if (known.includes(e.currentTarget.value)) add(e.currentTarget.value); }} />
			)}</Field>
			<datalist id="known-tags">{known.map(t => <option key={t} value={t} />)}</datalist>
		</div>
	);
}

export function editTags(m: Machine): void {
	const tags = signal(m.tags), had = m.tags;
	openForm({
		title: `Tags of ${m.name}`, submit: 'Save tags',
		body: () => (
			<>
				<TagPicker tags={tags.value} onChange={t => { tags.value = t; }} />
				{!had.length && tags.value.length > 0 && <Notice>A tagged machine belongs to nobody: it no longer counts as {m.owner || 'its person'}’s, and its key does not expire.</Notice>}
			</>),
		run: () => call(m.id, 'tags', { tags: tags.value }),
		after: () => toast(<>Changed the tags of <b>{m.name}</b></>, had.length ? () => call(m.id, 'tags', { tags: had }).then(() => toast('Undone'), e => failed('Not changed back', e)) : undefined),
	});
}

export async function editRoutes(m: Machine): Promise<void> {
	let detail: MachineDetail;
	try { detail = (await get<{ detail: MachineDetail }>(`/machines/${m.id}`)).detail; } catch (e) { failed(`The routes of ${m.name} could not be read`, e); return; }
	const approved = signal(new Set(detail.routes.filter(r => r.approved).map(r => r.prefix))), exit = signal(detail.exitApproved);
	const before = [...approved.value, ...(detail.exitApproved ? EXIT : [])];
	const all = () => [...approved.value, ...(exit.value ? EXIT : [])];
	openForm({
		title: `Routes of ${m.name}`, submit: 'Save routes',
		body: () => (
			<>
				{detail.routes.length > 0 ? (
					<fieldset class="stack"><legend class="muted">It carries what is checked to the networks behind it.</legend>
						{detail.routes.map(r => (
							<label key={r.prefix} class="row"><input type="checkbox" class="check" checked={approved.value.has(r.prefix)} onChange={e => {
								const next = new Set(approved.value);
								if (e.currentTarget.checked) next.add(r.prefix); else next.delete(r.prefix);
								approved.value = next;
							}} /><code>{r.prefix}</code>{!r.announced && <span class="muted">not offered now</span>}{r.others.length > 0 && <span class="muted">also by {r.others.map(o => o.name).join(', ')}</span>}</label>
						))}
					</fieldset>
				) : <p class="muted">It offers no route. On it: <code>tailscale set --advertise-routes=10.0.0.0/24</code></p>}
				<label class="row"><input type="checkbox" class="check" checked={exit.value} disabled={!detail.exitOffered && !detail.exitApproved} onChange={e => { exit.value = e.currentTarget.checked; }} />
					Exit node{!detail.exitOffered && <span class="muted">it does not offer to be one</span>}</label>
			</>),
		run: () => call(m.id, 'routes', { approved: all() }),
		after: () => toast(<>Changed the routes of <b>{m.name}</b></>, () => call(m.id, 'routes', { approved: before }).then(() => toast('Undone'), e => failed('Not changed back', e))),
	});
}

/** Approves what it offers and nobody has looked at; says what, with Undo. */
export async function approveRoutes(m: Machine, only?: string): Promise<void> {
	const waiting = m.routes.filter(r => !m.approved.includes(r) && (!only || r === only)), exit = !only && has(m, 'exitOffered') && !has(m, 'exitApproved');
	const before = [...m.approved, ...(has(m, 'exitApproved') ? EXIT : [])];
	const after = [...new Set([...before, ...waiting, ...(exit ? EXIT : [])])];
	await act(<>Approved {[...waiting, ...(exit ? ['exit node'] : [])].join(', ')} on <b>{m.name}</b></>, `Nothing was approved on ${m.name}`,
		() => call(m.id, 'routes', { approved: after }), () => call(m.id, 'routes', { approved: before }));
}

export const approveService = (m: Machine, service: string) => {
	const set = async (approved: boolean) => { await post(`/services/${encodeURIComponent(service)}/approve`, { node: m.id, approved }); void loadAttention(); };
	return act(<>Approved <b>{service}</b> of <b>{m.name}</b></>, `${service} was not approved`, () => set(true), () => set(false));
};

export const setExpiry = (m: Machine) => {
	const off = !has(m, 'noExpiry');
	return act(off ? <>The key of <b>{m.name}</b> does not expire any more</> : <>The key of <b>{m.name}</b> expires again</>, `${m.name} was not changed`,
		() => call(m.id, 'expiry', { off }), () => call(m.id, 'expiry', { off: !off }));
};

export const signOut = (m: Machine) => openDanger({
	title: `Sign out ${m.name}?`, action: `Sign out ${m.name}`, keep: 'Keep it',
	effects: ['Its key ends now and its connections stop.', isTaggedOrOwner(m)],
	run: () => call(m.id, 'sign-out'), after: () => toast(<>Signed out <b>{m.name}</b></>),
});
const isTaggedOrOwner = (m: Machine) => m.tags.length ? 'It comes back with a new auth key, or when somebody signs in on it.' : `It comes back when ${m.owner || 'its person'} signs in on it again.`;

export async function remove(m: Machine, after?: () => void): Promise<void> {
	let peers = 0;
	// The policy's parties do not overlap: their machines can be counted.
	try {
		const { edges } = await post<{ edges: { from: { key: string; machines: number } }[] }>('/policy/graph', { of: m.name, direction: 'to' });
		for (const n of new Map(edges.map(e => [e.from.key, e.from.machines])).values()) peers += n;
	} catch { /* the dialog says the rest */ }
	openDanger({
		title: `Delete ${m.name}?`, action: `Delete ${m.name}`, keep: 'Keep it', typed: peers > 0 || has(m, 'online') ? m.name : undefined, text: 'It leaves the network at once.',
		effects: [
			...(peers > 0 ? [peers === 1 ? '1 machine may reach it now, and no longer then.' : `${peers.toLocaleString('en')} machines may reach it now, and no longer then.`] : []),
			...(m.approved.length ? [`It carries ${m.approved.join(', ')}.`] : []),
			...(m.v4 ? [`Its address ${m.v4} may go to another machine.`] : []), 'It comes back only by signing in again.',
		],
		run: async () => { await del(`/machines/${m.id}`); dispatch({ type: 'events', changes: [{ kind: 'machine', id: m.id, action: 'delete' }], nowMs: serverNow() }); },
		after: () => { toast(<>Deleted <b>{m.name}</b></>); after?.(); },
	});
}

export async function copyAddress(m: Machine): Promise<void> { if (await copyText(m.v4 || m.v6)) toast(<>Copied <b>{m.v4 || m.v6}</b></>); }
export async function copySsh(m: Machine): Promise<void> { const words = `tailscale ssh ${m.name}`; if (await copyText(words)) toast(<>Copied <code>{words}</code></>); }

export function menuOf(m: Machine, afterDelete?: () => void): MenuItem[] {
	const no = reason('devices:core', 'machines'), noRoutes = may('devices:routes') ? undefined : reason('devices:routes', 'routes');
	return [
		has(m, 'waits') && { text: 'Approve', icon: 'check', key: 'A', reason: no, run: () => void approve(m) },
		{ text: 'Copy address', icon: 'copy', key: 'C', run: () => void copyAddress(m) },
		m.v6 !== '' && { text: 'Copy IPv6 address', icon: 'copy', run: () => void copyText(m.v6).then(ok => ok && toast(<>Copied <b>{m.v6}</b></>)) },
		{ text: 'Copy DNS name', icon: 'dns', run: () => { const n = `${m.name}.${me.value?.tailnet.domain ?? ''}`; void copyText(n).then(ok => ok && toast(<>Copied <b>{n}</b></>)); } },
		has(m, 'ssh') && { text: 'Copy SSH command', icon: 'ssh', key: 'S', run: () => void copySsh(m) },
		may('policy_file', 'read') && { text: 'Who can reach it?', icon: 'access', run: () => go(`/access/reach?of=${encodeURIComponent(m.name)}&turn=to`) },
		'line',
		{ text: 'Rename…', icon: 'pencil', key: 'R', reason: no, run: () => rename(m) },
		{ text: 'Edit tags…', icon: 'tag', key: 'T', reason: no, run: () => editTags(m) },
		{ text: 'Edit routes…', icon: 'route', reason: noRoutes, run: () => void editRoutes(m) },
		!m.tags.length && { text: has(m, 'noExpiry') ? 'Turn on key expiry' : 'Turn off key expiry', icon: 'key', reason: no, run: () => void setExpiry(m) },
		'line',
		!isExpired(m, serverNow()) && { text: 'Sign out…', icon: 'exit', reason: no, run: () => signOut(m) },
		{ text: 'Delete…', icon: 'trash', danger: true, reason: no, run: () => void remove(m, afterDelete) },
	];
}

// ---- many at once ------------------------------------------------------------------------------------------------------------

const names = (list: Machine[]) => list.length <= 3 ? list.map(m => m.name).join(', ') : `${list.slice(0, 3).map(m => m.name).join(', ')} and ${list.length - 3} more`;
async function each(list: Machine[], run: (m: Machine) => Promise<unknown>): Promise<void> {
	const bad: string[] = [];
	for (const m of list) try { await run(m); } catch (e) { bad.push(`${m.name}: ${e instanceof Error ? e.message : String(e)}`); }
	if (bad.length) throw new Error(bad.length === list.length ? bad[0]! : `${bad.length} of ${list.length} failed. ${bad[0]}`);
}
export const approveAll = (list: Machine[]) => act(`Approved ${names(list)}`, 'Not all were approved', () => each(list, m => call(m.id, 'approve', { approved: true })), () => each(list, m => call(m.id, 'approve', { approved: false })));
export function tagAll(list: Machine[], after: () => void): void {
	const tags = signal<string[]>([]);
	openForm({
		title: `Add tags to ${list.length === 1 ? list[0]!.name : `${list.length} machines`}`, submit: 'Add tags', ready: () => tags.value.length > 0,
		body: () => <><p class="muted">{names(list)}</p><TagPicker tags={tags.value} onChange={t => { tags.value = t; }} /></>,
		run: () => each(list, m => call(m.id, 'tags', { tags: [...new Set([...m.tags, ...tags.value])] })), after: () => { toast(`Tagged ${names(list)}`); after(); },
	});
}
export const expireAll = (list: Machine[], after: () => void) => openDanger({
	title: `Expire the keys of ${list.length} machines?`, action: 'Expire keys', keep: 'Keep them', text: names(list), effects: ['Their connections stop now.', 'Each comes back when its person signs in again.'],
	run: () => each(list, m => call(m.id, 'sign-out')), after: () => { toast(`Expired the keys of ${names(list)}`); after(); },
});
export const removeAll = (list: Machine[], after: () => void) => openDanger({
	title: `Delete ${list.length} machines?`, action: `Delete ${list.length} machines`, keep: 'Keep them', text: names(list), typed: list.some(m => has(m, 'online')) ? `delete ${list.length}` : undefined,
	effects: ['They leave the network at once.', `${list.filter(m => has(m, 'online')).length} of them are online.`],
	run: () => each(list, async m => { await del(`/machines/${m.id}`); dispatch({ type: 'events', changes: [{ kind: 'machine', id: m.id, action: 'delete' }], nowMs: serverNow() }); }), after: () => { toast(`Deleted ${names(list)}`); after(); },
});
