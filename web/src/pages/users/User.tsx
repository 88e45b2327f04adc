import { Button, Card, Chip, Copy, Dot, Empty, Facts, Icon, LinkButton, Notice, PageHead, Skeletons } from '../../components/basics';
import { Presence } from '../../components/charts';
import { Failed, MenuButton, act } from '../../components/overlays';
import { Table } from '../../components/table';
import { del } from '../../data/api';
import { useAsked } from '../../data/asked';
import { presenceRuns, presenceWords, stateOf } from '../../data/machines';
import { called, waysIn, type PersonAnswer, type Person, type Session } from '../../data/people';
import { go, href } from '../../data/router';
import { machineList, may, reason, refresh, useResource } from '../../data/store';
import { ago, day, full, now, until, when } from '../../data/time';
import type { AuditRecord } from '../../data/types';
import { useKeys } from '../../shell/keys';
import type { PageProps } from '../../shell/nav';
import { sentence } from '../../text/audit';
import { ROLES, roleWords, text } from '../../text/users';
import { approve, changeRole, menuOf, restore } from './actions';

export default function User({ params }: PageProps) {
	const id = params.id!, answer = useResource<PersonAnswer>(`/users/${id}`, ['user', 'session', 'identity', 'machine']), people = useResource<{ users: Person[] }>('/users', ['user']);
	useKeys({ Escape: () => go('/users') });
	const p = answer.data?.user, off = reason('users', 'people');
	const crumb = <p class="crumb"><a href={href('/users')}>{text.crumb}</a><Icon name="right" /><span class="truncate">{p ? called(p) : id}</span></p>;
	if (!p || !answer.data) return (
		<div class="page">{crumb}{answer.error?.status === 404 ? <><PageHead title={text.gone} /><Empty title={text.gone} actions={<LinkButton label="Look in the log" href={href(`/logs/changes?q=${id}`)} />}>{text.goneText}</Empty></>
			: answer.error ? <Failed what="this person" error={answer.error} retryAt={answer.retryAt} onRetry={answer.reload} /> : <Skeletons rows={8} />}</div>
	);
	return (
		<div class="page">
			{crumb}
			<PageHead title={called(p)} state={<><Dot state={p.state === 'waiting' ? 'waiting' : p.state === 'suspended' ? 'blocked' : p.online ? 'online' : 'offline'} />{p.state === 'waiting' ? text.waits : p.state === 'suspended' ? text.suspended : roleWords(p.role)}</>}
				actions={<><Button label="Change role" icon="access" reason={off} onClick={() => changeRole(p)} /><MenuButton label="More actions" kind="plain" items={() => menuOf(p, people.data?.users ?? [], () => go('/users'))} /></>} />
			{answer.error && <Failed what="all of this person" error={answer.error} retryAt={answer.retryAt} onRetry={answer.reload} />}
			<div class="columns">
				<div>
					{p.state === 'waiting' && <Notice tone="warn" icon="clock" actions={<Button label={text.approve} size="small" reason={off} onClick={() => void approve(p)} />}><b>{called(p)} waits for approval.</b><p class="muted">Until then they cannot connect a machine.</p></Notice>}
					{p.state === 'suspended' && <Notice tone="danger" icon="lock" actions={<Button label={text.restore} size="small" reason={off} onClick={() => void restore(p)} />}><b>{called(p)} is suspended.</b><p class="muted">Their machines reach nobody, and nobody reaches them.</p></Notice>}
					<Machines person={p} />
					<Identities answer={answer.data} />
					<Sessions sessions={answer.data.sessions} off={off} />
					{may('logs:configuration', 'read') && <Recent person={p} />}
				</div>
				<div>
					<Card title="Details"><div class="body"><Facts rows={[
						['Login name', <Copy text={p.name} what="login name" />], p.email && p.email !== p.name && ['Mail', <Copy text={p.email} what="mail address" />],
						['Role', <span>{roleWords(p.role)}. <span class="muted">{ROLES.find(r => r.role === p.role)?.may}</span></span>],
						['Signs in with', waysIn(p)],
						['Groups', p.groups.length ? <span class="chips">{p.groups.map(g => <Chip key={g} kind="tag">{g}</Chip>)}</span> : 'None from a provider'],
						['Seen', p.online ? 'now' : <span title={full(p.seenMs)}>{ago(p.seenMs)}</span>],
						['Added', day(p.createdMs)], ['User ID', <Copy text={p.id} what="user ID" code />],
					]} /></div></Card>
					{may('policy_file', 'read') && <CanReach person={p} />}
				</div>
			</div>
		</div>
	);
}

function Machines({ person: p }: { person: Person }) {
	const rows = machineList.value.filter(m => m.user === p.id).sort((a, b) => a.order < b.order ? -1 : 1), nowMs = now.value;
	return (
		<Card title="Machines" actions={rows.length > 10 ? <LinkButton label={`All ${rows.length}`} kind="quiet" size="small" href={href(`/machines?q=owner:${encodeURIComponent(p.name)}`)} /> : undefined}>
			{rows.length ? <Table label="Machines" rows={rows.slice(0, 10)} keyOf={m => m.id} columns={[
				{ head: 'Machine', cell: m => <span class="row"><Dot state={stateOf(m, nowMs)} /><a class="truncate" href={href(`/machines/${m.id}`)}>{m.name}</a></span> },
				{ head: 'Address', cell: m => m.v4 || m.v6 },
				{ head: 'Last 24 h', cell: m => { const runs = presenceRuns(m.presence, m.asOfMs, nowMs); return <Presence runs={runs} units={1440} label={presenceWords(runs)} />; } },
				{ head: 'Seen', cell: m => stateOf(m, nowMs) === 'online' ? 'now' : ago(m.seenMs, nowMs) },
			]} /> : <div class="body muted">They have none yet.</div>}
		</Card>
	);
}

const Identities = ({ answer }: { answer: PersonAnswer }) => (
	<Card title="Signs in through">
		{answer.identities.length ? <Table label="Signs in through" rows={answer.identities} keyOf={i => i.id} columns={[
			{ head: 'Provider', cell: i => i.provider || i.issuer },
			{ head: 'Known there as', cell: i => i.login || i.subject },
			{ head: 'Last sign-in', cell: i => <span title={full(i.lastLogin)}>{when(i.lastLogin)}</span> },
			{ head: 'Groups', cell: i => i.goneAt ? <Chip tone="warn" icon="alert">Left the provider {ago(i.goneAt)}</Chip> : i.groups.length ? <span>{i.groups.join(', ')}{i.checkedAt && <span class="muted">, asked {ago(i.checkedAt)}</span>}</span> : '' },
		]} /> : <div class="body muted">{answer.user.password ? 'No identity provider: they have a password here.' : 'No identity provider is linked.'}</div>}
	</Card>
);

const Sessions = ({ sessions, off }: { sessions: Session[]; off?: string }) => (
	<Card title="Browsers that are signed in">
		{sessions.length ? <Table label="Browsers that are signed in" rows={sessions} keyOf={s => s.id} columns={[
			{ head: 'Browser', cell: s => s.kind === 'link' ? 'A link that was not opened yet' : browser(s.agent) },
			{ head: 'From', cell: s => <code>{s.remote}</code> },
			{ head: 'Since', cell: s => <span title={full(s.signedInAt ?? s.createdAt)}>{when(s.signedInAt ?? s.createdAt)}</span> },
			{ head: 'Ends', cell: s => <span title={full(s.expiresAt)}>{until(s.expiresAt)}</span> },
			{ head: '', cell: s => <Button label="Sign out this browser" size="small" kind="quiet" icon="out" iconOnly reason={off} onClick={() => void act('Signed out', 'Not signed out', async () => { await del(`/sessions/${s.id}`); refresh('/users', '/sessions'); })} /> },
		]} /> : <div class="body muted">None.</div>}
	</Card>
);
/** "Firefox on macOS" out of a User-Agent; the agent itself when it says neither. */
function browser(agent: string): string {
	const name = /Edg\//.test(agent) ? 'Edge' : /Firefox\//.test(agent) ? 'Firefox' : /Chrom(e|ium)\//.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : '';
	const system = /Android/.test(agent) ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : /Windows/.test(agent) ? 'Windows' : /Mac OS/.test(agent) ? 'macOS' : /Linux/.test(agent) ? 'Linux' : '';
	return [name, system].filter(Boolean).join(' on ') || agent.slice(0, 60) || 'not told';
}

function Recent({ person: p }: { person: Person }) {
	const log = useResource<{ records: AuditRecord[] }>(`/audit?actor=${encodeURIComponent(p.name)}&limit=8&order=desc`, ['user', 'policy', 'machine']);
	return (
		<Card title="What they changed lately" actions={<LinkButton label="All" kind="quiet" size="small" href={href(`/logs/changes?who=${encodeURIComponent(p.name)}`)} />}>
			<div class="body">{log.data?.records.length ? <ol class="timeline">{log.data.records.map(r => <li key={r.id}><time dateTime={r.time} title={full(r.time)}>{ago(r.time)}</time><span>{sentence(r)}</span></li>)}</ol> : <p class="muted">{log.data ? 'Nothing that the log keeps.' : log.error ? log.error.message : 'Loading…'}</p>}</div>
		</Card>
	);
}

type Edge = { to: { names: { name: string }[]; more: number; machines: number }; ports: { text: string } };
function CanReach({ person: p }: { person: Person }) {
	const answer = useAsked<{ edges: Edge[] }>('/policy/graph', { of: /@/.test(p.name) ? p.name : `${p.name}@`, direction: 'from' }), edges = answer.data?.edges ?? [];
	return (
		<Card title="What they can reach" actions={<LinkButton label="Why?" kind="quiet" size="small" href={href(`/access/reach?of=${encodeURIComponent(p.name)}`)} />}><div class="body">
			{edges.length ? <ul class="lines">{edges.slice(0, 8).map((e, i) => <li key={i}><Chip kind="tag">{e.to.names.map(n => n.name).join(', ')}{e.to.more ? ` and ${e.to.more} more` : ''}</Chip><span class="muted">{e.ports.text}</span></li>)}{edges.length > 8 && <li class="muted">and {edges.length - 8} more</li>}</ul>
				: <p class="muted">{answer.error ? answer.error.status === 400 || answer.error.status === 404 ? 'No machine of theirs, so nothing yet.' : 'Could not ask the policy.' : answer.data ? 'Nothing. No rule names them.' : 'Asking the policy…'}</p>}
		</div></Card>
	);
}
