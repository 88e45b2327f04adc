import { Button, Card, Chip, Command, Copy, Dot, Empty, Facts, Icon, PageHead, Section } from '../../components/basics';
import { Dialog, openDialog } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { stateOf } from '../../data/machines';
import { go, href } from '../../data/router';
import { machineList, machines, me, useResource } from '../../data/store';
import { now } from '../../data/time';
import type { Region } from '../../data/types';
import { useKeys } from '../../shell/keys';
import type { PageProps } from '../../shell/nav';
import { text } from '../../text/relays';

type Answer = { regions: Region[]; own: Record<string, number> | null; noUdp: string[]; hardNat: string[] };
const ms = (v: number): string => `${v < 10 ? v.toFixed(1) : Math.round(v)} ms`;
const seen = (r: Region): string => r.latency ? `${ms(r.latency.p50)}${r.latency.n > 1 ? `, slowest ${ms(r.latency.max)}` : ''}` : '–';

function State({ region: r }: { region: Region }) {
	if (r.avoid) return <Chip>{text.avoid}</Chip>;
	return r.latency ? <Chip tone="ok" icon="check">{text.works}</Chip> : r.home > 0 ? <Chip tone="warn" icon="alert">{text.silent}</Chip> : <Chip>{text.silent}</Chip>;
}
const addRelay = () => openDialog(close => (
	<Dialog title={text.addTitle} onClose={close}>
		<p>{text.addText}</p>
		<Command text="fairlead-derp --hostname derp.example.com --region-id 901 --region-code fra --region-name Frankfurt" />
		<p>{text.joinText} <span class="muted">It needs an <a href={href('/keys/api')} onClick={close}>{text.joinKey}</a>.</span></p>
		<Command text={`FAIRLEAD_CLI_API_KEY=… fairlead-derp join ${me.value?.server.url ?? location.origin}`} />
		<div class="toolbar"><span class="push" /><button type="button" class="button" data-autofocus onClick={close}>Close</button></div>
	</Dialog>
));

/** Who never gets a direct path, then who does not with others like it. */
const stuck = (data: Answer): string[] => [...data.noUdp, ...data.hardNat.filter(id => !data.noUdp.includes(id))];

export default function Relays() {
	const answer = useResource<Answer>('/relays', ['machine', 'setting', 'policy']);
	return (
		<div class="page">
			<PageHead title={text.title} actions={<Button label={text.add} kind="primary" icon="plus" onClick={addRelay} />} />
			<Loaded resource={answer} what="relays">{data => (
				<>
					{data.regions.length ? <Table label={text.title} rows={data.regions} keyOf={r => String(r.id)} columns={[
						{ head: 'Region', cell: r => <span class="row"><a href={href(`/relays/${r.id}`)}>{r.name || r.code}</a>{r.own && <span class="muted">{text.own}</span>}</span> },
						{ head: 'State', cell: r => <State region={r} /> },
						{ head: 'Seen by machines', cell: seen },
						{ head: 'Home of', number: true, cell: r => String(r.home) },
						{ head: 'Online', number: true, cell: r => String(r.homeOnline) },
						{ head: 'Hosts', cell: r => r.hosts.map(h => h.host).join(', ') },
					]} /> : <Empty title={text.none}>{text.noneText}</Empty>}
					{data.own && <Own own={data.own} />}
					<Section title={text.noUdp} text={text.noUdpText}>
						{stuck(data).length ? <Card><Table label={text.noUdp} rows={stuck(data)} keyOf={id => id} columns={[
							{ head: 'Machine', cell: id => <a href={href(`/machines/${id}`)}>{machines.value.byId.get(id)?.name ?? id}</a> },
							{ head: 'Through', cell: id => { const relay = machines.value.byId.get(id)?.relay; const r = data.regions.find(x => x.id === relay); return r?.name ?? (relay ? `Region ${relay}` : 'not told'); } },
							{ head: 'Because', cell: id => data.noUdp.includes(id) ? text.udpBlocked : text.hardNat },
						]} /></Card> : <p class="muted">{text.noUdpNone}</p>}
					</Section>
				</>
			)}</Loaded>
		</div>
	);
}

const count = (n: number | undefined): string => (n ?? 0).toLocaleString('en');
const bytes = (n: number | undefined): string => { let v = n ?? 0, i = 0; const units = ['bytes', 'KB', 'MB', 'GB', 'TB']; while (v >= 1000 && i < 4) { v /= 1000; i++; } return `${v < 10 && i ? v.toFixed(1) : Math.round(v)} ${units[i]}`; };
const Own = ({ own }: { own: Record<string, number> }) => (
	<Card title="The relay of this server"><div class="body"><Facts rows={[
		['Connected', count(own.clients)],
		'bytesIn' in own && ['Received', bytes(own.bytesIn)], 'bytesOut' in own && ['Sent', bytes(own.bytesOut)],
		'packetsIn' in own && ['Packets', `${count(own.packetsIn)} in, ${count(own.packetsOut)} out`],
		'dropped' in own && ['Dropped', count(own.dropped)],
	]} /></div></Card>
);

export function RelayPage({ params }: PageProps) {
	const answer = useResource<Answer>('/relays', ['machine', 'setting', 'policy']);
	useKeys({ Escape: () => go('/relays') });
	return (
		<div class="page"><Loaded resource={answer} what="this region">{data => {
			const r = data.regions.find(x => String(x.id) === params.id), home = machineList.value.filter(m => String(m.relay) === params.id).sort((a, b) => a.order < b.order ? -1 : 1);
			const crumb = <p class="crumb"><a href={href('/relays')}>{text.crumb}</a><Icon name="right" /><span>{r?.name ?? params.id}</span></p>;
			if (!r) return <>{crumb}<PageHead title={text.gone} /></>;
			return (
				<>
					{crumb}
					<PageHead title={r.name || r.code} state={<State region={r} />} />
					<div class="columns">
						<div><Card title={`Home of ${r.home === 1 ? '1 machine' : `${r.home} machines`}`}>
							{home.length ? <Table label="Machines" rows={home.slice(0, 200)} keyOf={m => m.id} columns={[
								{ head: 'Machine', cell: m => <span class="row"><Dot state={stateOf(m, now.value)} /><a href={href(`/machines/${m.id}`)}>{m.name}</a></span> },
								{ head: 'Address', cell: m => m.v4 || m.v6 }, { head: 'Owner', cell: m => m.tags.length ? m.tags.join(', ') : m.owner },
								{ head: 'Direct paths', cell: m => data.noUdp.includes(m.id) ? <Chip tone="warn" icon="alert">UDP blocked</Chip> : '' },
							]} /> : <div class="body muted">No machine has it as its nearest.</div>}
							{home.length > 200 && <footer>and {home.length - 200} more</footer>}
						</Card></div>
						<div><Card title="Details"><div class="body"><Facts rows={[
							['Region', `${r.id}, ${r.code}`], ['Latency', r.latency ? `${ms(r.latency.p50)} in the middle, ${ms(r.latency.p95)} for 95 of 100, of ${r.latency.n} machines` : 'nobody has measured it'],
							...r.hosts.flatMap(h => [['Host', <Copy key={h.name} text={h.host} what="host name" />], ['Addresses', [h.v4, h.v6].filter(Boolean).join(', ') || 'by DNS'], ['Ports', `${h.port || 443} TCP, ${h.stunPort === -1 ? 'no STUN' : `${h.stunPort || 3478} UDP (STUN)`}`]] as [string, preact.ComponentChildren][]),
						]} /></div></Card>{r.own && data.own && <Own own={data.own} />}</div>
					</div>
				</>
			);
		}}</Loaded></div>
	);
}
