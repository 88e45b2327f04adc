import { Chip, Copy, Facts, LinkButton, Tag } from '../../components/basics';
import { Presence } from '../../components/charts';
import { Drawer } from '../../components/overlays';
import { has, presenceRuns, dayWords, stateOf, type Machine } from '../../data/machines';
import { href } from '../../data/router';
import { me, regionNames } from '../../data/store';
import { ago, day, now, until } from '../../data/time';
import { FactChips } from './facts';
import { osWords } from './Row';

const WORDS = { online: 'Online', offline: 'Offline', waiting: 'Waits', blocked: 'Cannot connect' } as const, TONES = { online: 'ok', offline: undefined, waiting: 'warn', blocked: 'danger' } as const;

export function Peek({ machine: m, onClose }: { machine: Machine; onClose: () => void }) {
	const nowMs = now.value, state = stateOf(m, nowMs), runs = presenceRuns(m.presence, m.asOfMs, nowMs), domain = me.value?.tailnet.domain;
	return (
		<Drawer title={m.name} onClose={onClose} state={<Chip tone={TONES[state]}>{WORDS[state]}</Chip>}>
			<div class="stack">
				<FactChips machine={m} nowMs={nowMs} />
				<Facts rows={[
					['Address', <Copy text={m.v4} what="address" />], m.v6 && ['IPv6', <Copy text={m.v6} what="IPv6 address" />], domain && ['DNS name', <Copy text={`${m.name}.${domain}`} what="DNS name" />],
					m.tags.length ? ['Tags', <span class="chips">{m.tags.map(t => <Tag key={t} name={t} />)}</span>] : ['Owner', m.owner],
					['System', `${osWords(m.os)} ${m.osVersion}`], ['Client', m.version || 'not told'], ['Relay', regionNames.value.get(m.relay) ?? 'none'],
					m.routes.length > 0 && ['Routes', <span>{m.routes.map(r => <code key={r} class="together">{r} </code>)}</span>],
					['Key', has(m, 'noExpiry') || !m.expiresMs ? 'Does not expire' : `Expires ${until(m.expiresMs, nowMs)}`], ['Seen', has(m, 'online') ? 'now' : ago(m.seenMs, nowMs)], ['Added', day(m.createdMs, nowMs)],
				]} />
				<Presence large runs={runs} units={1440} label={dayWords(m, runs)} />
				<p class="muted">{dayWords(m, runs)}.</p>
				<div class="toolbar"><LinkButton label="Open" href={href(`/machines/${m.id}`)} /><LinkButton label="Who can reach it?" kind="quiet" href={href(`/access/reach?of=${encodeURIComponent(m.name)}&turn=to`)} /></div>
			</div>
		</Drawer>
	);
}
