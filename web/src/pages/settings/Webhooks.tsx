import { signal } from '@preact/signals';
import { Button, Card, Chip, Command, Empty, Field, Notice } from '../../components/basics';
import { act, Dialog, MenuButton, openDanger, openDialog, openForm, toast } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { del, patch, post } from '../../data/api';
import { reason, refresh, useResource } from '../../data/store';
import { ago, full } from '../../data/time';
import { EVENTS, PROVIDERS, text } from '../../text/settings';

type Webhook = { endpointId: string; endpointUrl: string; providerType: string; creatorLoginName: string; created: string; lastModified: string; subscriptions: string[]; secret?: string };
const eventWords = (name: string): string => EVENTS.find(e => e[0] === name)?.[1] ?? name;
const again = () => refresh('/webhooks');

function Events({ value, onChange }: { value: string[]; onChange: (events: string[]) => void }) {
	return (
		<fieldset class="choices"><legend>Tell it when</legend><div class="scopes">{EVENTS.map(([name, words]) => (
			<label key={name}><span>{words}</span><input type="checkbox" class="check" checked={value.includes(name)} onChange={e => onChange(e.currentTarget.checked ? [...value, name] : value.filter(v => v !== name))} /></label>
		))}</div></fieldset>
	);
}
const showSecret = (secret: string) => openDialog(close => (
	<Dialog title="The webhook’s secret" onClose={close}>
		<Notice tone="warn" icon="key"><b>Copy it now.</b> The other program checks the signature of each message with it; it is not shown again.</Notice>
		<Command text={secret} />
		<div class="toolbar"><span class="push" /><button type="button" class="button" data-kind="primary" data-autofocus onClick={close}>Done</button></div>
	</Dialog>
));
function add(): void {
	const url = signal(''), provider = signal(''), events = signal<string[]>(['nodeCreated', 'nodeNeedsApproval', 'policyUpdate']);
	let made: Webhook | null = null;
	openForm({
		title: text.addHook, submit: 'Add it', wide: true, ready: () => /^https?:\/\/\S+$/.test(url.value.trim()) && events.value.length > 0,
		body: () => (
			<>
				<Field label="Address" help="Private addresses are refused unless the configuration file allows them.">{ids => <input class="input code" {...ids} data-autofocus autocomplete="off" spellcheck={false} placeholder="https://example.com/hook" value={url.value} onInput={e => { url.value = e.currentTarget.value; }} />}</Field>
				<Field label="Who reads it">{ids => <select class="input" {...ids} value={provider.value} onChange={e => { provider.value = e.currentTarget.value; }}>{PROVIDERS.map(([v, words]) => <option key={v} value={v}>{words}</option>)}</select>}</Field>
				<Events value={events.value} onChange={v => { events.value = v; }} />
			</>),
		run: async () => { made = await post<Webhook>('/webhooks', { endpointUrl: url.value.trim(), providerType: provider.value, subscriptions: events.value }); again(); },
		after: () => { if (made?.secret) showSecret(made.secret); else toast('Added the webhook'); },
	});
}
function edit(h: Webhook): void {
	const events = signal(h.subscriptions);
	openForm({ title: 'What it is told', submit: 'Save', wide: true, ready: () => events.value.length > 0, body: () => <Events value={events.value} onChange={v => { events.value = v; }} />, run: async () => { await patch(`/webhooks/${h.endpointId}`, { subscriptions: events.value }); again(); }, after: () => toast('Saved', async () => { await patch(`/webhooks/${h.endpointId}`, { subscriptions: h.subscriptions }); again(); }) });
}
const test = (h: Webhook) => act('A test message is on its way', 'Not sent', () => post(`/webhooks/${h.endpointId}/test`));
const rotate = (h: Webhook) => openDanger({ title: 'Make a new secret?', action: 'Make a new secret', effects: ['Messages are signed with the new one at once; the other program refuses them until it knows it.'], run: async () => { const answer = await post<Webhook>(`/webhooks/${h.endpointId}/rotate`); if (answer.secret) setTimeout(() => showSecret(answer.secret!), 0); } });
const remove = (h: Webhook) => openDanger({ title: 'Remove this webhook?', action: 'Remove it', keep: 'Keep it', text: h.endpointUrl, effects: ['It hears nothing more, also not what still waits to be delivered.'], run: async () => { await del(`/webhooks/${h.endpointId}`); again(); }, after: () => toast('Removed the webhook') });

export default function Webhooks() {
	const answer = useResource<{ webhooks: Webhook[] }>('/webhooks', ['webhook']), off = reason('webhooks', 'webhooks');
	return (
		<Loaded resource={answer} what="webhooks" rows={4}>{data => data.webhooks.length ? (
			<Card title={text.tabs.webhooks} actions={<Button label={text.addHook} size="small" icon="plus" reason={off} onClick={add} />}>
				<Table label="Webhooks" rows={data.webhooks} keyOf={h => h.endpointId} columns={[
					{ head: 'Address', cell: h => <code class="truncate">{h.endpointUrl}</code> },
					{ head: 'Read by', cell: h => PROVIDERS.find(p => p[0] === h.providerType)?.[1] ?? h.providerType },
					{ head: 'Is told', cell: h => <span class="chips">{h.subscriptions.slice(0, 2).map(s => <Chip key={s}>{eventWords(s)}</Chip>)}{h.subscriptions.length > 2 && <span class="muted" title={h.subscriptions.slice(2).map(eventWords).join('; ')}>+{h.subscriptions.length - 2}</span>}</span> },
					{ head: 'Changed', cell: h => <span title={full(h.lastModified)}>{ago(h.lastModified)}</span> },
					{ head: '', cell: h => <MenuButton label={`Actions for ${h.endpointUrl}`} size="small" items={() => [{ text: 'Send a test', icon: 'bolt', reason: off, run: () => void test(h) }, { text: 'What it is told…', icon: 'pencil', reason: off, run: () => edit(h) }, { text: 'New secret…', icon: 'key', reason: off, run: () => rotate(h) }, 'line', { text: 'Remove…', icon: 'trash', danger: true, reason: off, run: () => remove(h) }]} /> },
				]} />
			</Card>
		) : <Empty title={text.noHooks} actions={<Button label={text.addHook} reason={off} onClick={add} />}>{text.noHooksText}</Empty>}</Loaded>
	);
}
