import { Button, Chip, LinkButton } from '../../components/basics';
import { asking, has, isExpired, expiresSoon, type Machine } from '../../data/machines';
import { go, href } from '../../data/router';
import { attention, may } from '../../data/store';
import { until } from '../../data/time';
import { text } from '../../text/machines';
import { approve, approveRoutes, extend } from './actions';
import type { ComponentChildren } from 'preact';

const MOST_CHIPS = 3;
type Fact = { chip: ComponentChildren; words: string; act?: ComponentChildren };

/** What asks for action first (with its button), then what the machine is. A chip is an exception: defaults have none. */
export function factsOf(m: Machine, nowMs: number): Fact[] {
	const out: Fact[] = [], t = text.facts, write = may('devices:core');
	const add = (words: string, chip: ComponentChildren, act?: ComponentChildren) => { out.push({ words, chip, act }); };
	if (has(m, 'waits')) add(t.waits, <Chip tone="warn" icon="clock">{t.waits}</Chip>, write && <Button label={text.approve} size="small" onClick={() => void approve(m)} />);
	if (has(m, 'routesWait')) {
		const waiting = m.routes.filter(r => !m.approved.includes(r)), n = Math.max(waiting.length, 1);
		add(t.routes(n), <Chip tone="warn" icon="route" title={waiting.join(', ')}>{t.routes(n)}</Chip>, may('devices:routes') && <Button label={text.review} size="small" onClick={() => go(`/machines/${m.id}`)} />);
	}
	if (has(m, 'exitOffered') && !has(m, 'exitApproved')) add(t.exitWaits, <Chip tone="warn" icon="exit">{t.exitWaits}</Chip>, may('devices:routes') && <Button label={text.approve} size="small" onClick={() => void approveRoutes(m)} />);
	if (has(m, 'lockedOut')) add(t.locked, <Chip tone="danger" icon="lock">{t.locked}</Chip>);
	if (isExpired(m, nowMs)) add(t.expired, <Chip tone="danger" icon="key">{t.expired}</Chip>);
	else if (expiresSoon(m, nowMs)) add(t.expires(until(m.expiresMs, nowMs)), <Chip tone="warn" icon="key">{t.expires(until(m.expiresMs, nowMs))}</Chip>, write && <Button label={text.extend} size="small" onClick={() => extend(m)} />);
	if (asking.ids.has(m.id)) for (const i of attention.value.items) if (i.machine === m.id && (i.kind === 'service-waits' || i.kind === 'machine-refused')) add(i.text, <Chip tone={i.kind === 'machine-refused' ? 'danger' : 'warn'} icon={i.kind === 'machine-refused' ? 'alert' : 'server'} title={i.text}>{i.kind === 'machine-refused' ? t.refused : `${t.offers} ${i.text}`}</Chip>, <LinkButton label={text.review} size="small" href={href(`/machines/${m.id}`)} />);
	if (has(m, 'ownerSuspended')) add(t.suspended, <Chip tone="danger" icon="user">{t.suspended}</Chip>);
	if (has(m, 'exitApproved')) add(t.exit, <Chip icon="exit">{t.exit}</Chip>);
	if (m.approved.length) add(t.subnets(m.approved.length), <Chip icon="subnet" title={m.approved.join(', ')}>{t.subnets(m.approved.length)}</Chip>);
	if (has(m, 'ssh')) add(t.ssh, <Chip icon="ssh">{t.ssh}</Chip>);
	if (has(m, 'ephemeral')) add(t.ephemeral, <Chip kind="ephemeral" icon="timer">{t.ephemeral}</Chip>);
	return out;
}

export function FactChips({ machine, nowMs }: { machine: Machine; nowMs: number }) {
	const facts = factsOf(machine, nowMs), shown = facts.slice(0, MOST_CHIPS), rest = facts.slice(MOST_CHIPS);
	return (
		<span class="chips">
			{shown.map((f, i) => <>{f.chip}{i === 0 && f.act}</>)}
			{rest.length > 0 && <Chip title={rest.map(f => f.words).join(', ')}>+{rest.length}</Chip>}
		</span>
	);
}
