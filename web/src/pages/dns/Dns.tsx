import { signal } from '@preact/signals';
import { useEffect, useReducer, useState } from 'preact/hooks';
import { Button, Card, Chip, Facts, Field, Notice, PageHead, Switch, Tag } from '../../components/basics';
import { act, MenuButton, openDanger, openForm, toast, Wrong } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { post, put } from '../../data/api';
import { isDomain, isNameserver, splitValue, typeOf, type Asked, type Checked, type Dns, type DnsRecord, type Tried } from '../../data/dns';
import { href, place } from '../../data/router';
import { contains, type RoutesAnswer } from '../../data/routes';
import { machineList, machines, may, reason, refresh, useResource } from '../../data/store';
import { text } from '../../text/dns';

async function set(key: string, value: unknown): Promise<void> {
	await put(`/settings/${key}`, { value });
	refresh('/dns', '/settings');
}
/** Sets it, and Undo sets it back. */
const change = (done: string, key: string, value: unknown, before: unknown) => act(done, 'Not changed', () => set(key, value), () => set(key, before));
const setRecords = async (records: DnsRecord[]) => { await put('/dns/records', { records }); refresh('/dns', '/settings'); };

export default function DnsPage() {
	const answer = useResource<Dns>('/dns', ['setting', 'policy']);
	return (
		<div class="page">
			<PageHead title={text.title} />
			<Loaded resource={answer} what="DNS" rows={9}>{dns => <Places dns={dns} />}</Loaded>
		</div>
	);
}

function Places({ dns }: { dns: Dns }) {
	const off = reason('dns', 'DNS'), why = (key: string) => off ?? (dns.managed.includes(key) || dns.managed.includes('dns') ? text.managed : undefined);
	return (
		<div class="columns">
			<div>
				<Names dns={dns} off={why('dns.magic_dns')} />
				<Servers dns={dns} why={why} />
				<Records dns={dns} off={why('dns.extra_records')} />
				<SearchDomains dns={dns} off={why('dns.search_domains')} />
			</div>
			<div><Try dns={dns} /><Receives dns={dns} /></div>
		</div>
	);
}

const example = () => machineList.value[0]?.name ?? 'laptop';
function Names({ dns, off }: { dns: Dns; off?: string }) {
	const toggle = (on: boolean) => on ? void change('MagicDNS is on', 'dns.magic_dns', true, false) : openDanger({
		title: text.offTitle, action: 'Turn MagicDNS off', keep: 'Keep it on',
		effects: [`${machineList.value.length} names like ${example()}.${dns.domain} stop working, and so do short ones.`, dns.records.length ? `${dns.records.length} records of yours are answered only by machines that ask the tailnet’s nameservers.` : ''].filter(Boolean),
		run: () => set('dns.magic_dns', false), after: () => toast('MagicDNS is off', () => set('dns.magic_dns', true)),
	});
	return (
		<Card title={text.names}><div class="settings">
			<div class="setting"><label for="magic"><b>{text.magic}</b></label><span class="row"><Switch id="magic" checked={dns.magicDns} disabled={off !== undefined} title={off} onChange={toggle} /></span><p>{text.magicHelp(dns.domain)}</p></div>
			{dns.domain && <div class="setting"><b>Domain</b><span class="row"><code>{dns.domain}</code></span><p>For example <code>{example()}.{dns.domain}</code>. It is changed in Settings.</p></div>}
		</div></Card>
	);
}

function useChecked(of: string): { data: Checked | null; busy: boolean; again: () => void } {
	const [data, set] = useState<Checked | null>(null), [busy, setBusy] = useState(false), [turn, again] = useReducer<number, void>(n => n + 1, 0);
	useEffect(() => {
		let old = false;
		if (of === '[[],[]]') { set(null); return; }
		setBusy(true);
		post<Checked>('/dns/check').then(answer => { if (!old) set(answer); }, () => { if (!old) set(null); }).finally(() => { if (!old) setBusy(false); });
		return () => { old = true; };
	}, [of, turn]);
	return { data, busy, again: () => again() };
}
const ms = (v: number) => `${v < 10 ? v.toFixed(1) : Math.round(v)} ms`;
function Answer({ asked: a, busy }: { asked?: Asked; busy: boolean }) {
	if (!a) return <span class="faint">{busy ? text.checking : '–'}</span>;
	if (a.state === 'answers') return <Chip icon="check">{a.ms === null ? text.answers : ms(a.ms)}</Chip>;
	if (a.state === 'unchecked') return <span class="faint" title={text.uncheckedWhy}>{text.unchecked}</span>;
	return <Chip tone="warn" icon="alert">{a.state === 'fails' ? text.fails : text.silent}</Chip>;
}

type Line = { of: string; domain: string; servers: string[] };
function Servers({ dns, why }: { dns: Dns; why: (key: string) => string | undefined }) {
	const rows: Line[] = [
		...(dns.magicDns && dns.domain ? [{ of: 'own', domain: dns.domain, servers: [] }] : []),
		...[...dns.split].sort((a, b) => b.domain.split('.').length - a.domain.split('.').length).map(s => ({ of: 'split', domain: s.domain, servers: s.servers })),
		{ of: 'rest', domain: '', servers: dns.global },
	];
	const remove = (line: Line, server: string) => {
		if (line.of === 'rest') void change(`Removed ${server}`, 'dns.nameservers.global', dns.global.filter(s => s !== server), dns.global);
		else {
			const left = dns.split.map(s => s.domain === line.domain ? { ...s, servers: s.servers.filter(x => x !== server) } : s).filter(s => s.servers.length || s.domain !== line.domain);
			void change(`Removed ${server} for ${line.domain}`, 'dns.nameservers.split', splitValue(left), splitValue(dns.split));
		}
	};
	const off = why('dns.nameservers.global') ?? why('dns.nameservers.split');
	const check = useChecked(JSON.stringify([dns.global, dns.split])), routes = useResource<RoutesAnswer>(may('devices:routes', 'read') ? '/routes' : null);
	const through = (server: string) => { const r = routes.data?.routes.find(x => x.carrier && contains(x.prefix, server)); return r ? machines.value.byId.get(r.carrier)?.name : undefined; };
	return (
		<Card title={text.servers} actions={<div class="row">{rows.some(r => r.servers.length > 0) && <Button label={text.checkAgain} size="small" kind="quiet" icon="undo" busy={check.busy} onClick={check.again} />}<Button label={text.add} size="small" icon="plus" reason={off} onClick={() => addServer(dns)} /></div>}
			foot={<span class="stack-tight">
				<label class="row"><Switch checked={dns.overrideLocal} disabled={why('dns.override_local_dns') !== undefined || !dns.global.length} onChange={on => void change(on ? 'The tailnet’s nameservers are used for everything' : 'Machines use their own nameservers again', 'dns.override_local_dns', on, dns.overrideLocal)} label={text.override} />{text.override}</label>
				<label class="row"><Switch checked={dns.useWithExitNode} disabled={why('dns.use_with_exit_node') !== undefined} onChange={on => void change(on ? 'Asked with an exit node too' : 'An exit node’s nameservers are asked', 'dns.use_with_exit_node', on, dns.useWithExitNode)} label={text.withExit} />{text.withExit}</label>
			</span>}>
			<Table label={text.servers} rows={rows} keyOf={r => r.of + r.domain} columns={[
				{ head: 'For', cell: r => r.domain ? <code>{r.domain}</code> : text.everything },
				{ head: 'Ask', cell: r => r.of === 'own' ? text.byServer : r.servers.length ? <span class="stack-tight">{r.servers.map(s => <span key={s}><code>{s}</code>{through(s) && <span class="muted"> through {through(s)}</span>}</span>)}</span> : <span class="muted">{text.ownNames}</span> },
				{ head: 'Answers', cell: r => r.of === 'own' ? <Chip icon="check">{text.onMachine}</Chip> : r.servers.length ? <span class="stack-tight">{r.servers.map(s => <Answer key={s} asked={check.data?.servers.find(x => x.domain === r.domain && x.asked.server === s)?.asked} busy={check.busy} />)}</span> : '' },
				{ head: '', cell: r => r.of === 'own' || !r.servers.length ? '' : <MenuButton label={`Actions for ${r.domain || 'everything else'}`} size="small" items={() => r.servers.map(s => ({ text: `Remove ${s}`, icon: 'trash' as const, reason: off, run: () => remove(r, s) }))} /> },
			]} />
		</Card>
	);
}
function addServer(dns: Dns): void {
	const server = signal(''), domain = signal('');
	openForm({
		title: text.addServer, submit: text.add, ready: () => isNameserver(server.value.trim()) && (!domain.value.trim() || isDomain(domain.value.trim())),
		body: () => (
			<>
				<Field label="Nameserver" help="An address such as 1.1.1.1 or 10.0.0.53, or a DNS-over-HTTPS address." wrong={server.value.trim() && !isNameserver(server.value.trim()) ? 'This is no address of a nameserver.' : undefined}>{ids => <input class="input code" {...ids} data-autofocus autocomplete="off" spellcheck={false} value={server.value} onInput={e => { server.value = e.currentTarget.value; }} />}</Field>
				<Field label="Only for this domain" help="Leave it empty to ask it for everything else." wrong={domain.value.trim() && !isDomain(domain.value.trim()) ? 'A domain has letters, digits, hyphens and dots.' : undefined}>{ids => <input class="input code" {...ids} autocomplete="off" spellcheck={false} placeholder="corp.example" value={domain.value} onInput={e => { domain.value = e.currentTarget.value; }} />}</Field>
			</>),
		run: async () => {
			const s = server.value.trim(), d = domain.value.trim().toLowerCase().replace(/\.$/, '');
			if (!d) await set('dns.nameservers.global', [...dns.global.filter(x => x !== s), s]);
			else await set('dns.nameservers.split', splitValue([...dns.split.filter(x => x.domain !== d), { domain: d, servers: [...(dns.split.find(x => x.domain === d)?.servers ?? []).filter(x => x !== s), s] }]));
		},
		after: () => toast(`Machines ask ${server.value.trim()}${domain.value.trim() ? ` for ${domain.value.trim()}` : ''} now`, () => domain.value.trim() ? set('dns.nameservers.split', splitValue(dns.split)) : set('dns.nameservers.global', dns.global)),
	});
}

function Records({ dns, off }: { dns: Dns; off?: string }) {
	const rows = [...dns.records].sort((a, b) => a.name.localeCompare(b.name) || a.type.localeCompare(b.type)), same = (a: DnsRecord, b: DnsRecord) => a.name === b.name && a.type === b.type && a.value === b.value;
	const remove = (r: DnsRecord) => act(<>Removed <b>{r.name}</b></>, 'Not removed', () => setRecords(dns.records.filter(x => !same(x, r))), () => setRecords(dns.records));
	return (
		<Card title={text.records} actions={<Button label={text.add} size="small" icon="plus" reason={off} onClick={() => editRecord(dns)} />}>
			{rows.length ? <Table label={text.records} rows={rows} keyOf={r => `${r.name}/${r.type}/${r.value}`} columns={[
				{ head: 'Name', cell: r => <code>{r.name}</code> },
				{ head: 'Type', cell: r => r.type },
				{ head: 'Value', cell: r => <code>{r.value}</code> },
				{ head: '', cell: r => <MenuButton label={`Edit or remove ${r.name}`} size="small" items={() => [{ text: 'Edit…', icon: 'pencil', reason: off, run: () => editRecord(dns, r) }, { text: 'Remove', icon: 'trash', reason: off, run: () => void remove(r) }]} /> },
			]} /> : <div class="body muted">{text.noRecords}</div>}
		</Card>
	);
}
function editRecord(dns: Dns, old?: DnsRecord): void {
	const name = signal(old?.name ?? ''), value = signal(old?.value ?? '');
	openForm({
		title: old ? `Edit ${old.name}` : text.addRecord, submit: old ? 'Save' : text.add, ready: () => isDomain(name.value.trim()) && typeOf(value.value.trim()) !== '',
		body: () => (
			<>
				<Field label="Name" wrong={name.value.trim() && !isDomain(name.value.trim()) ? 'A name has letters, digits, hyphens and dots.' : undefined}>{ids => <input class="input code" {...ids} data-autofocus autocomplete="off" spellcheck={false} placeholder="grafana.example.com" value={name.value} onInput={e => { name.value = e.currentTarget.value; }} />}</Field>
				<Field label="Address" help={typeOf(value.value.trim()) ? `A record of type ${typeOf(value.value.trim())}.` : 'IPv4 or IPv6.'} wrong={value.value.trim().length > 6 && !typeOf(value.value.trim()) ? 'This is no IP address.' : undefined}>{ids => <input class="input code" {...ids} autocomplete="off" spellcheck={false} placeholder="100.64.0.31" value={value.value} onInput={e => { value.value = e.currentTarget.value; }} />}</Field>
			</>),
		run: () => {
			const made = { name: name.value.trim().toLowerCase().replace(/\.$/, ''), type: typeOf(value.value.trim()), value: value.value.trim() };
			return setRecords([...dns.records.filter(r => !old || r !== old), made]);
		},
		after: () => toast(<>{old ? 'Changed' : 'Added'} <b>{name.value.trim()}</b></>, () => setRecords(dns.records)),
	});
}

function SearchDomains({ dns, off }: { dns: Dns; off?: string }) {
	const add = () => {
		const domain = signal('');
		openForm({
			title: text.addDomain, submit: text.add, ready: () => isDomain(domain.value.trim()),
			body: () => <Field label="Domain">{ids => <input class="input code" {...ids} data-autofocus autocomplete="off" spellcheck={false} placeholder="corp.example" value={domain.value} onInput={e => { domain.value = e.currentTarget.value; }} />}</Field>,
			run: () => set('dns.search_domains', [...dns.search.filter(d => d !== domain.value.trim()), domain.value.trim()]),
			after: () => toast(`Short names are looked for in ${domain.value.trim()} too`, () => set('dns.search_domains', dns.search)),
		});
	};
	return (
		<Card title={text.search} actions={<Button label={text.add} size="small" icon="plus" reason={off} onClick={add} />}><div class="body">
			{dns.search.length ? <div class="chips">{dns.search.map(d => <span key={d} class="row together"><Tag name={d} /><Button label={`Remove ${d}`} icon="x" iconOnly kind="quiet" size="small" reason={off} onClick={() => void change(`Removed ${d}`, 'dns.search_domains', dns.search.filter(x => x !== d), dns.search)} /></span>)}</div> : <p class="muted">{text.noSearch}</p>}
		</div></Card>
	);
}

function Try({ dns }: { dns: Dns }) {
	const [name, setName] = useState(place.value.query.get('try') ?? ''), [from, setFrom] = useState(''), [type, setType] = useState('A'), [result, setResult] = useState<Tried | null>(null), [error, setError] = useState<unknown>(null), [busy, setBusy] = useState(false);
	const ask = () => {
		if (!name.trim()) return;
		setBusy(true);
		setError(null);
		post<Tried>('/dns/try', { name: name.trim(), type, machine: from || undefined, send: true }).then(setResult, e => { setResult(null); setError(e); }).finally(() => setBusy(false));
	};
	return (
		<Card title={text.tryName}><form class="body stack" onSubmit={e => { e.preventDefault(); ask(); }}>
			<Field label="Name" help={text.tryHelp}>{ids => <input class="input code" {...ids} autocomplete="off" spellcheck={false} placeholder={dns.domain ? `${example()}.${dns.domain}` : example()} value={name} onInput={e => setName(e.currentTarget.value)} />}</Field>
			<Field label="As seen from">{ids => <select class="input" {...ids} value={from} onChange={e => setFrom(e.currentTarget.value)}><option value="">Any machine</option>{[...machineList.value].sort((a, b) => a.order < b.order ? -1 : 1).slice(0, 500).map(m => <option key={m.id} value={m.id}>{m.name}</option>)}</select>}</Field>
			<div class="row">
				<select class="input" aria-label="Type" value={type} onChange={e => setType(e.currentTarget.value)}><option>A</option><option>AAAA</option></select>
				<Button type="submit" label={text.ask} busy={busy} />
			</div>
			<Wrong error={error} />
			{result && <Notice tone={result.by === 'nobody' || result.asked?.state === 'fails' || result.asked?.state === 'silent' ? 'warn' : result.answers.length > 0 || (result.asked?.answers.length ?? 0) > 0 ? 'ok' : undefined}><b>{text.by[result.by] ?? result.by}</b>{[...result.answers, ...result.asked?.answers ?? []].length > 0 && <>: {[...result.answers, ...result.asked?.answers ?? []].map(a => <code key={a}>{a} </code>)}</>}<p class="muted">{result.why}{result.ask.length > 0 && !result.asked && ` Asked: ${result.ask.join(', ')}.`}{result.asked && ` ${text.asked(result.asked)}`}{result.machine && <> <a href={href(`/machines/${result.machine}`)}>{machines.value.byId.get(result.machine)?.name ?? 'The machine'}</a></>}</p></Notice>}
		</form></Card>
	);
}

const Receives = ({ dns }: { dns: Dns }) => (
	<Card title="What a machine receives"><div class="body"><Facts rows={[
		['Resolver', '100.100.100.100, on the machine itself'],
		['Names', dns.magicDns ? `${machineList.value.length} machines that it may see, and ${dns.records.length} records` : `${dns.records.length} records`],
		['Split', dns.split.length ? dns.split.map(s => s.domain).join(', ') : 'None'],
		['Elsewhere', dns.global.length ? dns.overrideLocal ? `always ${dns.global.join(', ')}` : `${dns.global.join(', ')} where its own nameservers are none` : text.ownNames],
		['Search', [...(dns.magicDns && dns.domain ? [dns.domain] : []), ...dns.search].join(', ') || 'None'],
	]} /></div></Card>
);
