import { Avatared, Button, Chip, Empty, Icon, LinkButton, PageHead, Tabs } from '../../components/basics';
import { MenuButton } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { called, fits, order, VIEWS, waysIn, type Invite, type Person } from '../../data/people';
import { href, place, setQuery } from '../../data/router';
import { reason, useResource } from '../../data/store';
import { ago, full, until } from '../../data/time';
import { roleWords, text } from '../../text/users';
import { approve, endInvite, invite, menuOf } from './actions';

export default function Users() {
	const people = useResource<{ users: Person[] }>('/users', ['user', 'session', 'identity']), invites = useResource<{ invites: Invite[] }>('/invites', ['user', 'login', 'session']);
	const view = place.value.query.get('view') ?? '', q = place.value.query.get('q') ?? '', all = people.data?.users ?? [], off = reason('users', 'people');
	const tabs = Object.keys(VIEWS).filter(key => key !== 'suspended' || view === key || all.some(VIEWS[key]!)).map(key => ({
		text: text.views[key]!, href: href(`/users${key ? `?view=${key}` : ''}`), count: people.data && all.filter(VIEWS[key]!).length, on: view === key, tone: key === 'attention' ? 'warn' as const : undefined,
	}));
	tabs.push({ text: text.invites, href: href('/users?view=invites'), count: invites.data?.invites.length, on: view === 'invites', tone: undefined });
	return (
		<div class="page">
			<PageHead title={text.title} actions={<Button label={text.invite} kind="primary" icon="plus" reason={off} onClick={invite} />} />
			<Tabs label={text.viewsLabel} items={tabs} />
			{view === 'invites' ? <Loaded resource={invites} what="the invites">{answer => <Invites invites={answer.invites} off={off} />}</Loaded> : (
				<Loaded resource={people} what="the users">{() => {
					const rows = all.filter(VIEWS[view] ?? (() => true)).filter(p => fits(p, q)).sort(order);
					return (
						<>
							<div class="toolbar"><div class="search"><Icon name="search" /><input class="input" type="search" aria-label={text.filter} placeholder={text.hint} value={q} onInput={e => setQuery({ q: e.currentTarget.value })} /><kbd>/</kbd></div></div>
							{rows.length > 0 ? <People rows={rows} all={all} off={off} />
								: q ? <Empty title={text.noMatch(q)} actions={<Button label={text.clear} onClick={() => setQuery({ q: '' })} />}>{text.noMatchText}</Empty>
									: <Empty title={text.nobody[view] ?? text.onlyYou}>{text.nobodyText[view]}</Empty>}
							{!view && !q && all.length === 1 && <Empty title={text.onlyYou} actions={<><Button label={text.invite} reason={off} onClick={invite} /><LinkButton label={text.provider} href={href('/settings/identity')} /></>}>{text.onlyYouText}</Empty>}
						</>
					);
				}}</Loaded>
			)}
		</div>
	);
}

const People = ({ rows, all, off }: { rows: Person[]; all: Person[]; off?: string }) => (
	<Table label={text.title} rows={rows} keyOf={p => p.id} columns={[
		{ head: 'Person', cell: p => <Avatared name={called(p)}><a href={href(`/users/${p.id}`)}>{called(p)}</a>{(p.email || p.name) !== called(p) && <span class="muted truncate">{p.email || p.name}</span>}</Avatared> },
		{ head: 'Role', cell: p => p.state === 'waiting' ? <span class="chips"><Chip tone="warn" icon="clock">{text.waits}</Chip><Button label={text.approve} size="small" reason={off} onClick={() => void approve(p)} /></span>
			: p.state === 'suspended' ? <Chip tone="danger" icon="lock">{text.suspended}</Chip> : roleWords(p.role) },
		{ head: 'Groups', cell: p => p.groups.length ? <span class="chips">{p.groups.slice(0, 3).map(g => <Chip key={g} kind="tag" title="From the identity provider">{g}</Chip>)}{p.groups.length > 3 && <span class="muted" title={p.groups.slice(3).join(', ')}>+{p.groups.length - 3}</span>}</span> : '' },
		{ head: 'Machines', number: true, cell: p => p.machines ? <a href={href(`/machines?q=owner:${encodeURIComponent(p.name)}`)}>{p.machines}</a> : '0' },
		{ head: 'Signs in with', cell: p => waysIn(p) },
		{ head: 'Seen', cell: p => p.online > 0 ? 'now' : <span title={full(p.seenMs)}>{ago(p.seenMs)}</span> },
		{ head: '', cell: p => <MenuButton label={`Actions for ${called(p)}`} size="small" items={() => menuOf(p, all)} /> },
	]} />
);

function Invites({ invites, off }: { invites: Invite[]; off?: string }) {
	if (!invites.length) return <Empty title={text.noInvites} actions={<Button label={text.invite} reason={off} onClick={invite} />}>{text.noInvitesText}</Empty>;
	return <Table label={text.invites} rows={invites} keyOf={i => i.id} columns={[
		{ head: 'Person', cell: i => <Avatared name={i.user}><a href={href(`/users/${i.userId}`)}>{i.user}</a></Avatared> },
		{ head: 'Role', cell: i => roleWords(i.role) },
		{ head: 'Made', cell: i => <span title={full(i.createdMs)}>{ago(i.createdMs)}</span> },
		{ head: 'Works until', cell: i => <span title={full(i.expiresMs)}>{until(i.expiresMs)}</span> },
		{ head: '', cell: i => <Button label={`End the invite of ${i.user}`} size="small" kind="quiet" icon="x" iconOnly reason={off} onClick={() => endInvite(i.id, i.user)} /> },
	]} />;
}
