import { useEffect, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { Button, Card, Chip, Copy, Dot, Empty, Facts, Icon, LinkButton, Notice, PageHead, Skeletons, Tag } from '../../components/basics';
import { Meter, Presence } from '../../components/charts';
import { Failed, MenuButton } from '../../components/overlays';
import { Table } from '../../components/table';
import { expiresSoon, has, isBehind, isExpired, presenceRuns, presenceWords, stateOf, type Machine } from '../../data/machines';
import { go, href } from '../../data/router';
import { machines, may, me, putMachine, reason, regionNames, useResource, who } from '../../data/store';
import { ago, clock, day, full, now, spanLong, until, when } from '../../data/time';
import { partyName, type Graph } from '../../data/policy';
import { useAsked } from '../../data/asked';
import type { Attention, AuditRecord, MachineDetail, MachineRow } from '../../data/types';
import { useKeys } from '../../shell/keys';
import type { PageProps } from '../../shell/nav';
import { sentence } from '../../text/audit';
import { text } from '../../text/machines';
import { approve, approveRoutes, approveService, copyAddress, copySsh, editRoutes, editTags, extend, menuOf, rename } from './actions';
import { osWords } from './Row';
import { attention } from '../../data/store';

const WEEK = 7 * 1440;
type Answer = { machine: MachineRow; detail: MachineDetail };

export default function MachinePage({ params }: PageProps) {
	const id = params.id!, m = machines.value.byId.get(id), answer = useResource<Answer>(`/machines/${id}`, []);
	const [stamp, setStamp] = useState(m?.changed ?? 0);
	// The row tells that something changed; the detail is asked for again then.
	useEffect(() => { if (m && m.changed !== stamp) { setStamp(m.changed); answer.reload(); } }, [m?.changed]);
	useEffect(() => { if (answer.data && !machines.value.byId.has(id) && machines.value.loaded && !answer.error) putMachine(answer.data.machine); }, [answer.data]);
	const back = () => go('/machines');
	const on = (run: (m: Machine) => unknown, needs = false) => () => { const x = machines.value.byId.get(id); if (x && (!needs || may('devices:core'))) run(x); };
	useKeys({ a: on(x => has(x, 'waits') && approve(x), true), r: on(x => rename(x), true), t: on(x => editTags(x), true), c: on(x => copyAddress(x)), s: on(x => copySsh(x)), Escape: back });
	const crumb = <p class="crumb"><a href={href('/machines')}>{text.crumb}</a><Icon name="right" /><span class="truncate">{m?.name ?? id}</span></p>;
	if (!m) return (
		<div class="page">{crumb}{machines.value.loaded && answer.error?.status === 404 ? <><PageHead title={text.gone} /><Gone id={id} /></> : answer.error ? <Failed what="this machine" error={answer.error} retryAt={answer.retryAt} onRetry={answer.reload} /> : <Skeletons rows={9} />}</div>
	);
	const nowMs = now.value, d = answer.data?.detail, write = reason('devices:core', 'machines');
	return (
		<div class="page">
			{crumb}
			<PageHead title={m.name} state={<State machine={m} detail={d} nowMs={nowMs} />} actions={<>
				<Button label="Edit tags" icon="pencil" reason={write} onClick={() => editTags(m)} />
				<MenuButton label="More actions" kind="plain" items={() => menuOf(m, back)} />
			</>} />
			{answer.error && <Failed what="all of this machine" error={answer.error} retryAt={answer.retryAt} onRetry={answer.reload} />}
			<div class="columns">
				<div>
					<Asks machine={m} detail={d} nowMs={nowMs} />
					{d ? <><Routes machine={m} detail={d} /><Connectivity machine={m} detail={d} nowMs={nowMs} /></> : !answer.error && <Card><div class="body"><Skeletons rows={5} /></div></Card>}
					{may('logs:configuration', 'read') && <Recent machine={m} />}
				</div>
				<div>
					<Details machine={m} detail={d} nowMs={nowMs} write={write} />
					{may('policy_file', 'read') && <><Reach machine={m} direction="to" /><Reach machine={m} direction="from" /></>}
				</div>
			</div>
		</div>
	);
}

function Gone({ id }: { id: string }) {
	const log = useResource<{ records: AuditRecord[] }>(may('logs:configuration', 'read') ? `/audit?target=${id}&limit=5&order=desc` : null);
	const last = log.data?.records.find(r => r.targetId === id);
	return <Empty title={last ? sentence(last) : text.goneNothing} actions={<LinkButton label="Look in the log" href={href(`/logs/changes?q=${id}`)} />}>{last ? `${when(last.time)}, by ${who(last.actor)}.` : text.goneText}</Empty>;
}

function State({ machine: m, detail, nowMs }: { machine: Machine; detail?: MachineDetail; nowMs: number }) {
	const state = stateOf(m, nowMs);
	const since = () => {
		const runs = detail ? presenceRuns(detail.presence7d, m.asOfMs, nowMs, WEEK) : [], last = runs[runs.length - 1];
		return last && last[1] >= WEEK - 1 ? text.onlineFor(spanLong(Math.max(60_000, (WEEK - last[0]) * 60_000))) : text.online;
	};
	return <><Dot state={state} />{state === 'waiting' ? text.waiting : has(m, 'online') ? since() : state === 'blocked' ? `${text.blocked}, last seen ${ago(m.seenMs, nowMs)}` : text.offlineSince(ago(m.seenMs, nowMs))}</>;
}

/** What it asks for: each with its effect and its button. */
function Asks({ machine: m, detail, nowMs }: { machine: Machine; detail?: MachineDetail; nowMs: number }) {
	const write = reason('devices:core', 'machines'), out: ComponentChildren[] = [];
	if (has(m, 'waits')) out.push(<Notice key="waits" tone="warn" icon="clock" actions={<Button label="Approve" size="small" reason={write} onClick={() => void approve(m)} />}><b>{m.name} waits for approval.</b><p class="muted">Until then it reaches nobody and nobody reaches it.{m.tags.length ? ` It asks to be ${m.tags.join(', ')}.` : m.owner && ` ${m.owner} added it.`}</p></Notice>);
	const waiting = m.routes.filter(r => !m.approved.includes(r));
	for (const prefix of has(m, 'routesWait') ? waiting : []) {
		const others = detail?.routes.find(r => r.prefix === prefix)?.others ?? [];
		out.push(<Notice key={prefix} tone="warn" icon="route" actions={<Button label="Approve" size="small" reason={reason('devices:routes', 'routes')} onClick={() => void approveRoutes(m, prefix)} />}>
			<b>{m.name} offers a new route, <code>{prefix}</code>.</b><p class="muted">Approving lets machines that the policy allows send traffic for these addresses through it. {others.length ? `${others.map(o => o.name).join(', ')} offers it too.` : 'No other machine offers it.'}</p></Notice>);
	}
	if (has(m, 'exitOffered') && !has(m, 'exitApproved')) out.push(<Notice key="exit" tone="warn" icon="exit" actions={<Button label="Approve" size="small" reason={reason('devices:routes', 'routes')} onClick={() => void approveRoutes(m)} />}><b>{m.name} offers to be an exit node.</b><p class="muted">Approving lets others send all their Internet traffic through it.</p></Notice>);
	if (isExpired(m, nowMs)) out.push(<Notice key="expired" tone="danger" icon="key"><b>Its key expired {ago(m.expiresMs, nowMs)}.</b><p class="muted">{m.owner ? `${m.owner} has to sign in on it again.` : 'Somebody has to sign in on it again.'}</p></Notice>);
	else if (expiresSoon(m, nowMs)) out.push(<Notice key="soon" tone="warn" icon="key" actions={<Button label="Extend…" size="small" reason={write} onClick={() => extend(m)} />}><b>Its key expires {until(m.expiresMs, nowMs)}.</b><p class="muted">Then it leaves the network until {m.owner || 'somebody'} signs in on it again.</p></Notice>);
	if (detail?.refusal?.text) out.push(<Notice key="refused" tone="danger"><b>Something it asked for was refused{detail.refusal.atMs ? `, ${ago(detail.refusal.atMs, nowMs)}` : ''}.</b><p class="muted">{detail.refusal.text.replace(/^./, c => c.toUpperCase())}.</p></Notice>);
	for (const item of attention.value.items) if (item.machine === m.id && item.kind === 'service-waits') out.push(<Notice key={item.id} tone="warn" icon="server" actions={<Button label="Approve" size="small" reason={reason('services', 'services')} onClick={() => void approveService(m, item.text)} />}><b>{m.name} offers the service <code>{item.text}</code>.</b><p class="muted">Approving lets it answer for the service’s name and address.</p></Notice>);
	for (const item of (attention.value as Attention).items) if (item.machine === m.id && item.kind === 'machine-locked-out') out.push(<Notice key={item.id} tone="danger" icon="lock"><b>Its key is not signed.</b><p class="muted">Tailnet lock is on: others do not talk to it until a trusted machine signs its key.</p></Notice>);
	return <>{out}</>;
}

export const Carries = () => <Chip tone="ok" icon="check">Carries traffic</Chip>;
function Routes({ machine: m, detail }: { machine: Machine; detail: MachineDetail }) {
	if (!detail.routes.length && !detail.exitOffered && !detail.exitApproved) return null;
	const rows = detail.routes;
	return (
		<Card title="Routes" actions={<Button label="Edit routes" kind="quiet" size="small" icon="pencil" reason={reason('devices:routes', 'routes')} onClick={() => void editRoutes(m)} />}
			foot={detail.exitApproved ? <><Icon name="exit" />{detail.exitOffered ? 'It is an exit node: others may send their Internet traffic through it.' : 'Approved as an exit node, but it does not offer to be one now.'}</> : undefined}>
			{rows.length > 0 ? <Table label="Routes" rows={rows} keyOf={r => r.prefix} columns={[
				{ head: 'Route', cell: r => <code>{r.prefix}</code> },
				{ head: 'State', cell: r => !r.approved ? <Chip tone="warn" icon="clock">Waits for approval</Chip> : r.carries ? <Carries /> : !r.announced ? <Chip>Not offered now</Chip> : has(m, 'online') ? <Chip>Standby</Chip> : <Chip>Offline</Chip> },
				{ head: 'Also offered by', cell: r => r.others.length ? <>{r.others.map((o, i) => <>{i > 0 && ', '}<a href={href(`/machines/${o.id}`)}>{o.name}</a>{o.carries ? ', carries it' : o.online ? ', ready to take over' : ', offline'}</>)}</> : 'nobody' },
			]} /> : <div class="body muted">It offers no subnet route.</div>}
		</Card>
	);
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
function Connectivity({ machine: m, detail: d, nowMs }: { machine: Machine; detail: MachineDetail; nowMs: number }) {
	const runs = presenceRuns(d.presence7d, m.asOfMs, nowMs, WEEK), words = presenceWords(runs, WEEK, 'week', d.presence7d[0] === 2 ? d.presence7d[1] : 0), begin = nowMs - WEEK * 60_000;
	const gaps = runs.slice(1).map((r, i) => [runs[i]![1], r[0]] as const), longest = [...gaps].sort((a, b) => b[1] - b[0] - (a[1] - a[0]))[0];
	const lat = new Map<number, number>();
	for (const l of d.net.latencies) lat.set(l.region, Math.min(lat.get(l.region) ?? Infinity, l.ms));
	const relays = [...lat].sort((a, b) => a[1] - b[1]).slice(0, 6), max = Math.max(...relays.map(r => r[1]), 1) * 1.1, n = d.net;
	const yes = (v: boolean | null, y: string, no: string) => v === null ? 'Not told yet' : v ? y : no;
	const stale = !has(m, 'online');
	return (
		<Card title="Connectivity" actions={stale && n.asOfMs > 0 ? <span class="muted">{text.asOf(ago(n.asOfMs, nowMs))}</span> : undefined}>
			<div class="body">
				<p class="gap-below">{runs.length ? <>{words}. {longest && <span class="muted">The longest gap was {spanLong((longest[1] - longest[0]) * 60_000)}, on {DAYS[new Date(begin + longest[0] * 60_000).getDay()]} at {clock(begin + longest[0] * 60_000)}.</span>}</> : `${words}.`}</p>
				<Presence large runs={runs} units={WEEK} label={words} />
				<div class="axis" aria-hidden="true">{Array.from({ length: 7 }, (_, i) => <span key={i}>{DAYS[new Date(begin + i * 86_400_000).getDay()]}</span>)}</div>
			</div>
			<div class="split">
				<div><h3>Relays, by distance</h3>
					{relays.length ? <div class="regions">{relays.map(([id, ms], i) => <><span class={id === n.relay ? undefined : 'muted'}>{regionNames.value.get(id) ?? `Region ${id}`}</span><Meter value={ms} max={max} best={id === n.relay || (i === 0 && !n.relay)} /><data value={ms}>{ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms</data></>)}</div>
						: <p class="muted">It has not measured any yet.</p>}
				</div>
				<div><h3>Its network</h3><Facts rows={[
					['UDP', yes(n.udp, 'Works', 'Blocked: everything goes through a relay')],
					['NAT', n.mappingVaries === null ? 'Not told yet' : n.mappingVaries ? 'Another port for every peer (hard)' : 'Same port for every peer (easy)'],
					['IPv6', yes(n.ipv6, 'Works', n.ipv6Os ? 'The system has it, the network does not' : 'None')],
					['Port mapping', n.portMapping || 'None'],
					d.endpoints.length > 0 && ['Addresses', <span class="stack-tight">{d.endpoints.slice(0, 4).map(e => <code key={e}>{e}</code>)}{d.endpoints.length > 4 && <span class="muted">and {d.endpoints.length - 4} more</span>}</span>],
				]} /></div>
			</div>
		</Card>
	);
}

function Recent({ machine: m }: { machine: Machine }) {
	const log = useResource<{ records: AuditRecord[] }>(`/audit?target=${m.id}&limit=40&order=desc`, ['machine']);
	const rows = log.data?.records.filter(r => r.targetId === m.id && ['node', 'machine', 'route'].includes(r.kind)).slice(0, 6);
	return (
		<Card title="Recent changes" actions={<LinkButton label="All changes" kind="quiet" size="small" href={href(`/logs/changes?q=${encodeURIComponent(m.name)}`)} />}>
			<div class="body">{rows?.length ? <ol class="timeline">{rows.map(r => <li key={r.id}><time dateTime={r.time} title={full(r.time)}>{ago(r.time)}</time><span><b>{who(r.actor)}</b>: {sentence(r)}</span></li>)}</ol>
				: log.error ? <Failed what="the changes" error={log.error} onRetry={log.reload} /> : <p class="muted">{rows ? 'None that the log keeps.' : 'Loading…'}</p>}</div>
		</Card>
	);
}

function Details({ machine: m, detail: d, nowMs, write }: { machine: Machine; detail?: MachineDetail; nowMs: number; write?: string }) {
	const domain = me.value?.tailnet.domain, behind = isBehind(m.version, machines.value.newest);
	const how: Record<string, string> = { 'auth-key': d?.authKey?.description ? `, with the key ${d.authKey.description}` : ', with an auth key', cli: ', by an admin', oidc: ', by signing in' };
	return (
		<Card title="Details" actions={<Button label="Rename" kind="quiet" size="small" icon="pencil" reason={write} onClick={() => rename(m)} />}>
			<div class="body"><Facts rows={[
				m.v4 && ['IPv4', <Copy text={m.v4} what="IPv4 address" />], m.v6 && ['IPv6', <Copy text={m.v6} what="IPv6 address" />],
				domain && ['DNS name', <Copy text={`${m.name}.${domain}`} what="DNS name">{m.name}.<wbr />{domain}</Copy>],
				m.tags.length ? ['Tags', <span class="chips">{m.tags.map(t => <Tag key={t} name={t} />)}</span>] : ['Owner', may('users', 'read') ? <a href={href(`/users/${m.user}`)}>{m.owner}</a> : m.owner],
				m.host && ['Calls itself', m.host],
				['Client', m.version ? <span>Tailscale {m.version}{behind && <span class="muted">, {machines.value.newest} is in use here</span>}</span> : 'not told'],
				['System', [osWords(m.os), m.osVersion, d?.host.goArch].filter(Boolean).join(', ')], d?.host.cloud && ['Cloud', d.host.cloud], d?.host.deviceModel && ['Model', d.host.deviceModel],
				['SSH', has(m, 'ssh') ? 'Tailscale SSH is on' : 'Off'], d?.host.shieldsUp && ['Shields up', 'Takes no connections'],
				['Key', isExpired(m, nowMs) ? `Expired ${ago(m.expiresMs, nowMs)}` : has(m, 'noExpiry') || m.tags.length || !m.expiresMs ? 'Does not expire' : <span title={full(m.expiresMs)}>Expires {until(m.expiresMs, nowMs)}, {day(m.expiresMs, nowMs)}</span>],
				['Added', `${day(m.createdMs, nowMs)}${d ? how[d.method] ?? '' : ''}`],
				...(d?.services?.length ? [['Services', d.services.join(', ')] as [string, string]] : []),
				['Node ID', <Copy text={m.id} what="node ID" code />], d && ['Node key', <Copy text={d.nodeKey} what="node key" code>{d.nodeKey.slice(0, 20)}…</Copy>],
			]} /></div>
		</Card>
	);
}

function Reach({ machine: m, direction }: { machine: Machine; direction: 'from' | 'to' }) {
	const answer = useAsked<Graph>('/policy/graph', { of: m.name, direction });
	const title = direction === 'to' ? 'Who can reach it' : 'What it can reach', edges = answer.data?.edges ?? [];
	const link = `/access/reach?of=${encodeURIComponent(m.name)}${direction === 'to' ? '&turn=to' : ''}`;
	return (
		<Card title={title} actions={<LinkButton label="Why?" kind="quiet" size="small" href={href(link)} />}>
			<div class="body">
				{edges.length > 0 ? <ul class="lines">{edges.slice(0, 6).map((e, i) => {
					const p = direction === 'to' ? e.from : e.to;
					return <li key={i}><Tag name={partyName(p)} /><span class="muted">{p.machines ? `${p.machines === 1 ? '1 machine' : `${p.machines} machines`}, ` : ''}{e.ports.text}</span></li>;
				})}{edges.length > 6 && <li class="muted">and {edges.length - 6} more</li>}</ul>
					: <p class="muted">{answer.error ? 'Could not ask the policy.' : !answer.data ? 'Asking the policy…' : direction === 'to' ? 'Nobody. No rule lets anybody in.' : 'Nothing. No rule lets it out.'}</p>}
			</div>
		</Card>
	);
}
