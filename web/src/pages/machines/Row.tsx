import { Component } from 'preact';
import { Chip, Copy, Dot, Tag } from '../../components/basics';
import { Presence } from '../../components/charts';
import { MenuButton } from '../../components/overlays';
import { has, isBehind, presenceRuns, dayWords, stateOf, type Machine } from '../../data/machines';
import { href } from '../../data/router';
import { ago, day, full, serverNow } from '../../data/time';
import { text } from '../../text/machines';
import { menuOf } from './actions';
import { FactChips } from './facts';

export type RowProps = {
	machine: Machine; index: number; columns: string[]; nowMs: number; newest: string; region: string; selected: boolean; peeked: boolean; height: number;
	onSelect: (id: string, range: boolean) => void;
};
const TINT_MS = 1_600;
const OS: Record<string, string> = { linux: 'Linux', macos: 'macOS', windows: 'Windows', ios: 'iOS', android: 'Android', freebsd: 'FreeBSD', openbsd: 'OpenBSD', tvos: 'tvOS', js: 'Browser' };
export const osWords = (os: string): string => OS[os.toLowerCase()] ?? os;

/** One row; drawn again only when its machine, the minute or its place changes. */
export class Row extends Component<RowProps> {
	override shouldComponentUpdate(next: RowProps): boolean {
		const p = this.props;
		return next.machine !== p.machine || next.index !== p.index || next.columns !== p.columns || next.nowMs !== p.nowMs || next.newest !== p.newest || next.region !== p.region
			|| next.selected !== p.selected || next.peeked !== p.peeked || next.height !== p.height;
	}

	render({ machine: m, index, columns, nowMs, newest, region, selected, peeked, height, onSelect }: RowProps) {
		const state = stateOf(m, nowMs), on = new Set(columns), owner = m.tags.length ? m.tags[0]! : m.owner;
		const tint = m.changed && serverNow() - m.changedMs < TINT_MS ? (m.changed % 2 ? 'a' : 'b') : undefined;
		const seen = has(m, 'online') ? 'now' : ago(m.seenMs, nowMs);
		const runs = on.has('day') ? presenceRuns(m.presence, m.asOfMs, nowMs) : [];
		return (
			<tr aria-rowindex={index + 2} aria-selected={selected || undefined} data-peeked={peeked || undefined} data-changed={tint} data-id={m.id} style={{ blockSize: `${height}px` }}>
				<td data-col="pick"><input type="checkbox" class="check" aria-label={`Select ${m.name}`} checked={selected} onClick={event => { event.stopPropagation(); onSelect(m.id, event.shiftKey); }} /></td>
				<th scope="row" data-col="name"><span class="name"><Dot state={state} /><a href={href(`/machines/${m.id}`)} data-row={m.id}>{m.name}</a><span class="visually-hidden">, {state}</span></span></th>
				<td class="sub">{m.v4 || m.v6}{owner && ` · ${owner}`}</td>
				{on.has('address') && <td data-col="address"><Copy text={m.v4 || m.v6} what={`address of ${m.name}`} /></td>}
				{on.has('owner') && <td data-col="owner" title={m.tags.join(', ') || m.ownerName}>{m.tags.length ? <span class="chips"><Tag name={m.tags[0]!} />{m.tags.length > 1 && <Chip title={m.tags.slice(1).join(', ')}>+{m.tags.length - 1}</Chip>}</span> : owner}</td>}
				{on.has('facts') && <td data-col="facts"><FactChips machine={m} nowMs={nowMs} /></td>}
				{on.has('client') && <td data-col="client" title={m.osVersion}>{osWords(m.os)} {m.version}{isBehind(m.version, newest) && <span title={text.newer(newest)}> ↑<span class="visually-hidden"> {text.newer(newest)}</span></span>}</td>}
				{on.has('relay') && <td data-col="relay">{region}</td>}
				{on.has('created') && <td data-col="created" title={full(m.createdMs)}>{day(m.createdMs, nowMs)}</td>}
				{on.has('expiry') && <td data-col="expiry" title={full(m.expiresMs)}>{has(m, 'noExpiry') || !m.expiresMs ? 'never' : day(m.expiresMs, nowMs)}</td>}
				{on.has('id') && <td data-col="id"><code>{m.id}</code></td>}
				{on.has('day') && <td data-col="day"><Presence runs={runs} units={1440} label={dayWords(m, runs)} /></td>}
				{on.has('seen') && <td data-col="seen" title={full(m.seenMs)}>{seen}</td>}
				<td data-col="more" class="end"><MenuButton label={`Actions for ${m.name}`} size="small" items={() => menuOf(m)} /></td>
			</tr>
		);
	}
}
