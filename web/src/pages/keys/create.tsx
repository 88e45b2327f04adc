// Making keys: a short form whose last line says in words what the key will do; the secret is shown once.
import { signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { Button, Command, Field, Notice, Tag } from '../../components/basics';
import { Dialog, openDialog, openForm } from '../../components/overlays';
import { Qr } from '../../components/qr';
import { post } from '../../data/api';
import { whatItAdds } from '../../data/keys';
import { called, type Person } from '../../data/people';
import { machineList, may, me, refresh, useResource } from '../../data/store';
import { SCOPES, text } from '../../text/keys';

const EXPIRES: [string, string][] = [['1h', 'an hour'], ['1d', 'a day'], ['7d', 'a week'], ['30d', '30 days'], ['90d', '90 days'], ['365d', 'a year']];

function Expiry({ value, onChange }: { value: string; onChange: (value: string) => void }) {
	return <Field label="Works for">{ids => <select class="input" {...ids} value={value} onChange={e => onChange(e.currentTarget.value)}>{EXPIRES.map(([v, words]) => <option key={v} value={v}>{words}</option>)}</select>}</Field>;
}
function Tags({ tags, onChange }: { tags: string[]; onChange: (tags: string[]) => void }) {
	const [typed, setTyped] = useState(''), known = [...new Set(machineList.value.flatMap(m => m.tags))].filter(t => !tags.includes(t)).sort();
	const add = (word: string) => {
		const bare = word.trim().toLowerCase();
		setTyped('');
		if (bare) onChange([...new Set([...tags, bare.startsWith('tag:') ? bare : `tag:${bare}`])]);
	};
	return (
		<div class="stack">
			{tags.length > 0 && <div class="chips">{tags.map(t => <span key={t} class="row together"><Tag name={t} /><Button label={`Remove ${t}`} icon="x" iconOnly kind="quiet" size="small" onClick={() => onChange(tags.filter(x => x !== t))} /></span>)}</div>}
			<Field label="Tags" help="Press Enter to add. With a tag, machines belong to nobody and never expire.">{ids => (
				<input class="input code" {...ids} list="key-tags" autocomplete="off" spellcheck={false} placeholder="tag:ci" value={typed} onInput={e => setTyped(e.currentTarget.value)} onBlur={() => add(typed)}
					onKeyDown={e => { if (e.key === 'Enter' && typed.trim()) { e.preventDefault(); add(typed); } }} />)}</Field>
			<datalist id="key-tags">{known.map(t => <option key={t} value={t} />)}</datalist>
		</div>
	);
}

type Made = { secret: string };
function showSecret(title: string, secret: string, command?: string): void {
	openDialog(close => (
		<Dialog title={title} onClose={close}>
			<Notice tone="warn" icon="key"><b>Copy it now.</b> It is not shown again, and the server keeps only its hash.</Notice>
			<Command text={secret} />
			{command && <><p class="muted">On the machine:</p><Command text={command} /><Qr text={secret} label="QR code of the key" /></>}
			<div class="toolbar"><span class="push" /><button type="button" class="button" data-kind="primary" data-autofocus onClick={close}>Done</button></div>
		</Dialog>
	));
}

export function createAuthKey(): void {
	const description = signal(''), reusable = signal(false), ephemeral = signal(false), preauthorized = signal(true), tags = signal<string[]>([]), expires = signal('90d'), user = signal(me.value?.user?.id ?? '');
	let made: Made | null = null;
	const Body = () => {
		const people = useResource<{ users: Person[] }>(may('users', 'read') ? '/users' : null).data?.users ?? [], owner = people.find(p => p.id === user.value);
		const check = (s: { value: boolean }, words: string, help: string) => <label><input type="checkbox" class="check" checked={s.value} onChange={e => { s.value = e.currentTarget.checked; }} /><span><b>{words}</b><span class="muted">{help}</span></span></label>;
		return (
			<>
				<Field label="What is it for?">{ids => <input class="input" {...ids} data-autofocus autocomplete="off" maxLength={100} placeholder="ci runners" value={description.value} onInput={e => { description.value = e.currentTarget.value; }} />}</Field>
				<Tags tags={tags.value} onChange={t => { tags.value = t; }} />
				{!tags.value.length && people.length > 0 && <Field label="Machines belong to">{ids => <select class="input" {...ids} value={user.value} onChange={e => { user.value = e.currentTarget.value; }}>{people.map(p => <option key={p.id} value={p.id}>{called(p)}</option>)}</select>}</Field>}
				<div class="choices">{check(reusable, 'Reusable', 'Adds any number of machines.')}{check(ephemeral, 'Ephemeral', 'For containers and runners: machines go away by themselves.')}{check(preauthorized, 'Approved at once', 'Machines do not wait for an admin.')}</div>
				<Expiry value={expires.value} onChange={v => { expires.value = v; }} />
				<p class="said" role="status">{whatItAdds({ reusable: reusable.value, ephemeral: ephemeral.value, preauthorized: preauthorized.value, tags: tags.value, owner: owner && owner.id !== me.value?.user?.id ? called(owner) : '' })}</p>
			</>
		);
	};
	openForm({
		title: text.create.auth, submit: 'Create it', body: () => <Body />,
		run: async () => {
			made = await post<Made>('/keys/auth', { description: description.value.trim() || undefined, user: tags.value.length ? undefined : user.value || undefined, tags: tags.value, reusable: reusable.value, ephemeral: ephemeral.value, preauthorized: preauthorized.value, expires: expires.value });
			refresh('/keys');
		},
		after: () => { if (made) showSecret('The new auth key', made.secret, `sudo tailscale up --login-server ${me.value?.server.url ?? location.origin} --auth-key ${made.secret}`); },
	});
}

/** Each scope: not, to look at, or to change; or everything. */
function Scopes({ value, onChange }: { value: string[]; onChange: (scopes: string[]) => void }) {
	const all = value.includes('all') ? 'all' : value.includes('all:read') ? 'all:read' : '';
	const of = (scope: string) => value.includes(scope) ? 'write' : value.includes(`${scope}:read`) ? 'read' : '';
	return (
		<>
			<fieldset class="choices"><legend>What it may do</legend>{([['all', 'Everything that you may do'], ['all:read', 'Look at everything'], ['', 'Only what is chosen below']] as const).map(([v, words]) => (
				<label key={v}><input type="radio" name="scope" checked={all === v} onChange={() => onChange(v ? [v] : ['devices:core:read'])} /><span>{words}</span></label>))}</fieldset>
			{!all && <div class="scopes">{SCOPES.map(([scope, words]) => (
				<label key={scope}>{words}<select class="input" value={of(scope)} onChange={e => {
					const rest = value.filter(s => s !== scope && s !== `${scope}:read`), to = e.currentTarget.value;
					onChange(to === 'write' ? [...rest, scope] : to === 'read' ? [...rest, `${scope}:read`] : rest);
				}}><option value="">No</option><option value="read">Look</option><option value="write">Change</option></select></label>))}</div>}
		</>
	);
}

export function createApiKey(): void {
	const description = signal(''), scopes = signal<string[]>(['all']), expires = signal('90d');
	let made: Made | null = null;
	openForm({
		title: text.create.api, submit: 'Create it', wide: true, ready: () => scopes.value.length > 0,
		body: () => (
			<>
				<Field label="What is it for?">{ids => <input class="input" {...ids} data-autofocus autocomplete="off" maxLength={100} placeholder="backup script" value={description.value} onInput={e => { description.value = e.currentTarget.value; }} />}</Field>
				<Scopes value={scopes.value} onChange={s => { scopes.value = s; }} />
				<Expiry value={expires.value} onChange={v => { expires.value = v; }} />
			</>),
		run: async () => { made = await post<Made>('/keys/api', { description: description.value.trim() || undefined, scopes: scopes.value, expires: expires.value }); refresh('/keys'); },
		after: () => { if (made) showSecret('The new API key', made.secret, `curl -H "Authorization: Bearer ${made.secret}" ${me.value?.server.url ?? location.origin}/api/fairlead/v1/me`); },
	});
}

export function createOauthClient(): void {
	const description = signal(''), scopes = signal<string[]>(['devices:core:read']), tags = signal<string[]>([]);
	const needsTags = () => scopes.value.some(s => s === 'all' || s === 'auth_keys' || s === 'devices:core');
	let made: (Made & { key: { id: string } }) | null = null;
	openForm({
		title: text.create.oauth, submit: 'Create it', wide: true, ready: () => scopes.value.length > 0 && (!needsTags() || tags.value.length > 0),
		body: () => (
			<>
				<Field label="What is it for?">{ids => <input class="input" {...ids} data-autofocus autocomplete="off" maxLength={100} placeholder="terraform" value={description.value} onInput={e => { description.value = e.currentTarget.value; }} />}</Field>
				<Scopes value={scopes.value} onChange={s => { scopes.value = s; }} />
				<Tags tags={tags.value} onChange={t => { tags.value = t; }} />
				{needsTags() && !tags.value.length && <p class="muted">A client that makes auth keys or changes machines acts for tags: choose at least one.</p>}
			</>),
		run: async () => { made = await post<Made & { key: { id: string } }>('/keys/oauth', { description: description.value.trim() || undefined, scopes: scopes.value, tags: tags.value }); refresh('/keys'); },
		after: () => { if (made) showSecret('The new OAuth client’s secret', made.secret); },
	});
}
