// What can be done to a person, from the list and from their page.
import { signal } from '@preact/signals';
import { Command, Field, Notice } from '../../components/basics';
import { act, Dialog, openDanger, openDialog, openForm, toast, type MenuItem } from '../../components/overlays';
import { Qr } from '../../components/qr';
import { del, post } from '../../data/api';
import { called, type Person } from '../../data/people';
import { me, reason, refresh } from '../../data/store';
import { day } from '../../data/time';
import type { Role } from '../../data/types';
import { ROLES, roleWords, text } from '../../text/users';

const after = () => refresh('/users', '/invites', '/sessions');
const call = async (p: Person, verb: string, body: unknown = {}) => { await post(`/users/${p.id}/${verb}`, body); after(); };

export const approve = (p: Person) => act(<>Approved <b>{called(p)}</b></>, `${called(p)} was not approved`, () => call(p, 'approve'));
export const restore = (p: Person) => act(<>Restored <b>{called(p)}</b></>, `${called(p)} was not restored`, () => call(p, 'restore'), () => call(p, 'suspend'));

const mine = (p: Person) => p.id === me.value?.user?.id;
/** Owners are changed by owners only; nobody changes the own role. */
const roleReason = (p: Person): string | undefined => reason('users', 'people') ?? (mine(p) ? 'Somebody else has to change your own role.' : p.role === 'owner' && me.value?.user?.role !== 'owner' ? 'Only an owner can change an owner.' : undefined);

function RolePicker({ role, onChange }: { role: Role; onChange: (role: Role) => void }) {
	return (
		<fieldset class="choices"><legend>Role</legend>{ROLES.map(r => (
			<label key={r.role}><input type="radio" name="role" value={r.role} checked={role === r.role} disabled={r.role === 'owner' && me.value?.user?.role !== 'owner'} onChange={() => onChange(r.role)} /><span><b>{r.text}</b><span class="muted">{r.may}</span></span></label>
		))}</fieldset>
	);
}

export function changeRole(p: Person): void {
	const role = signal<Role>(p.role);
	openForm({
		title: `Role of ${called(p)}`, submit: 'Change role', ready: () => role.value !== p.role,
		body: () => <><RolePicker role={role.value} onChange={r => { role.value = r; }} />{p.role === 'owner' && role.value !== 'owner' && <Notice tone="warn">{called(p)} will no longer be an owner.</Notice>}</>,
		run: () => call(p, 'role', { role: role.value }),
		after: () => toast(<><b>{called(p)}</b> is {roleWords(role.value)} now</>, () => call(p, 'role', { role: p.role })),
	});
}

export const suspend = (p: Person) => openDanger({
	title: `Suspend ${called(p)}?`, action: `Suspend ${called(p)}`, keep: 'Keep them in', typed: p.online > 0 ? p.name : undefined,
	effects: [p.machines ? `${p.machines === 1 ? 'Their machine loses' : `Their ${p.machines} machines lose`} access at once, ${p.online} of them online now.` : 'They have no machine.', 'They cannot sign in here or add machines.', 'Restoring gives all of it back.'],
	run: () => call(p, 'suspend'), after: () => toast(<>Suspended <b>{called(p)}</b></>, () => call(p, 'restore')),
});

export const signOut = (p: Person) => openDanger({
	title: `Sign ${called(p)} out everywhere?`, action: 'Sign out everywhere', effects: ['Their browsers have to sign in again.', 'Their machines stay connected.'],
	run: async () => { await del(`/sessions?user=${encodeURIComponent(p.name)}`); after(); }, after: () => toast(<>Signed <b>{called(p)}</b> out</>),
});

export function rename(p: Person): void {
	const name = signal(p.name);
	openForm({
		title: `Rename ${called(p)}`, submit: 'Rename', ready: () => name.value.trim() !== '' && name.value !== p.name,
		body: () => <Field label="Login name" help="The policy knows people by it: rules that name the old one no longer fit.">{ids => <input class="input" {...ids} data-autofocus autocomplete="off" spellcheck={false} value={name.value} onInput={e => { name.value = e.currentTarget.value; }} />}</Field>,
		run: () => call(p, 'rename', { name: name.value.trim() }), after: () => toast(<>Renamed <b>{p.name}</b> to <b>{name.value.trim()}</b></>, () => call(p, 'rename', { name: p.name })),
	});
}

export function remove(p: Person, people: Person[], gone: () => void): void {
	const what = signal<'delete' | 'move'>('move'), to = signal(people.find(x => x.id === me.value?.user?.id && x.id !== p.id)?.id ?? people.find(x => x.id !== p.id)?.id ?? '');
	if (!p.machines) {
		openDanger({
			title: `Delete ${called(p)}?`, action: `Delete ${p.name}`, keep: 'Keep them', effects: ['They have no machine.', 'Their keys and sessions end.', 'Rules of the policy that name them fit nobody.'],
			run: async () => { await del(`/users/${p.id}`, { machines: 'refuse' }); after(); }, after: () => { toast(<>Deleted <b>{called(p)}</b></>); gone(); },
		});
		return;
	}
	const typed = signal('');
	openForm({
		title: `Delete ${called(p)}?`, submit: `Delete ${p.name}`, ready: () => typed.value === p.name && (what.value === 'delete' || to.value !== ''),
		body: () => (
			<>
				<fieldset class="choices"><legend>{p.machines === 1 ? 'Their machine' : `Their ${p.machines} machines`}</legend>
					<label><input type="radio" name="machines" checked={what.value === 'move'} onChange={() => { what.value = 'move'; }} /><span><b>Go to somebody else</b><span class="muted">They stay connected and count as theirs.</span></span></label>
					<label><input type="radio" name="machines" checked={what.value === 'delete'} onChange={() => { what.value = 'delete'; }} /><span><b>Are removed</b><span class="muted">They leave the network at once, {p.online} of them online now.</span></span></label>
				</fieldset>
				{what.value === 'move' && <Field label="New owner">{ids => <select class="input" {...ids} value={to.value} onChange={e => { to.value = e.currentTarget.value; }}>{people.filter(x => x.id !== p.id).map(x => <option key={x.id} value={x.id}>{called(x)}</option>)}</select>}</Field>}
				<p class="muted">Their keys and sessions end. This cannot be undone.</p>
				<Field label={<>Type <b>{p.name}</b></>}>{ids => <input class="input" {...ids} autocomplete="off" spellcheck={false} value={typed.value} onInput={e => { typed.value = e.currentTarget.value; }} />}</Field>
			</>),
		run: async () => { await del(`/users/${p.id}`, what.value === 'move' ? { machines: 'move', to: to.value } : { machines: 'delete' }); after(); },
		after: () => { toast(<>Deleted <b>{called(p)}</b></>); gone(); },
	});
}

export const menuOf = (p: Person, people: Person[], gone: () => void = () => { /* the list shows it */ }): MenuItem[] => {
	const off = reason('users', 'people'), self = mine(p) ? 'This is you.' : undefined;
	return [
		p.state === 'waiting' && { text: text.approve, icon: 'check', reason: off, run: () => void approve(p) },
		{ text: text.changeRole, icon: 'access', reason: roleReason(p), run: () => changeRole(p) },
		{ text: text.rename, icon: 'pencil', reason: off, run: () => rename(p) },
		{ text: text.signOut, icon: 'out', reason: off, run: () => signOut(p) },
		'line',
		p.state === 'suspended' ? { text: text.restore, icon: 'undo', reason: off, run: () => void restore(p) } : { text: text.suspend, icon: 'lock', danger: true, reason: off ?? self, run: () => suspend(p) },
		{ text: text.remove, icon: 'trash', danger: true, reason: off ?? self, run: () => remove(p, people, gone) },
	];
};

const EXPIRES = [['24h', 'a day'], ['72h', '3 days'], ['168h', 'a week'], ['720h', '30 days']] as const;
/** A link that lets one person in once. The link is shown here and never again. */
export function invite(): void {
	const name = signal(''), displayName = signal(''), role = signal<Role>('member'), expires = signal('72h');
	let made: { url: string; expiresMs: number } | null = null;
	openForm({
		title: 'Invite somebody', submit: 'Make the link', ready: () => name.value.trim() !== '',
		body: () => (
			<>
				<Field label="Login name" help="A mail address or a short name. The policy knows them by it.">{ids => <input class="input" {...ids} data-autofocus autocomplete="off" spellcheck={false} value={name.value} onInput={e => { name.value = e.currentTarget.value; }} />}</Field>
				<Field label="Name, as others see it">{ids => <input class="input" {...ids} autocomplete="off" value={displayName.value} onInput={e => { displayName.value = e.currentTarget.value; }} />}</Field>
				<RolePicker role={role.value} onChange={r => { role.value = r; }} />
				<Field label="The link works for">{ids => <select class="input" {...ids} value={expires.value} onChange={e => { expires.value = e.currentTarget.value; }}>{EXPIRES.map(([value, words]) => <option key={value} value={value}>{words}</option>)}</select>}</Field>
			</>),
		run: async () => {
			made = await post<{ url: string; expiresMs: number }>('/invites', { name: name.value.trim(), displayName: displayName.value.trim() || undefined, role: role.value, expires: expires.value });
			after();
		},
		after: () => { if (made) showLink(displayName.value.trim() || name.value.trim(), made.url, made.expiresMs); },
	});
}
export function showLink(who: string, url: string, expiresMs: number): void {
	openDialog(close => (
		<Dialog title={`The link for ${who}`} onClose={close}>
			<p>Send it to {who}. It works once, until {day(expiresMs)}, and is not shown again.</p>
			<Command text={url} />
			<Qr text={url} label={`QR code of ${url}`} />
			<div class="toolbar"><span class="push" /><button type="button" class="button" data-kind="primary" data-autofocus onClick={close}>Done</button></div>
		</Dialog>
	));
}
export const endInvite = (id: string, who: string) => openDanger({
	title: `End the invite of ${who}?`, action: 'End the invite', keep: 'Keep it', effects: ['Its link stops working at once.'],
	run: async () => { await del(`/invites/${id}`); after(); }, after: () => toast(<>Ended the invite of <b>{who}</b></>),
});
