import { Button, Chip, Empty, PageHead, Tabs, Tag } from '../../components/basics';
import { openDanger, toast } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table, type Column } from '../../components/table';
import { del } from '../../data/api';
import type { ApiKey, AuthKey, KeysAnswer, OauthClient, State } from '../../data/keys';
import { href, place, setQuery } from '../../data/router';
import { may, me, personName, reason, refresh, useResource } from '../../data/store';
import { ago, day, full, now, until } from '../../data/time';
import type { Scope } from '../../data/types';
import type { PageProps } from '../../shell/nav';
import { scopeWords, text, type Kind } from '../../text/keys';
import { createApiKey, createAuthKey, createOauthClient } from './create';

const SCOPE: Record<Kind, Scope> = { auth: 'auth_keys', api: 'api_access_tokens', oauth: 'oauth_keys' };
const CREATE: Record<Kind, () => void> = { auth: createAuthKey, api: createApiKey, oauth: createOauthClient };
const WEEK = 7 * 86_400_000;
type Any = { id: string; prefix: string; description: string; state: State };

const nameOf = (k: Any): string => k.description || k.prefix;
const KEEPS: Record<Kind, string> = { auth: 'Machines that it added stay connected.', api: 'Programs that use it are refused at once.', oauth: 'Programs that use it are refused, and the keys it got for them end.' };
const revoke = (kind: Kind, k: Any) => openDanger({
	title: `Revoke ${nameOf(k)}?`, action: `Revoke ${nameOf(k)}`, keep: 'Keep it', effects: [KEEPS[kind], 'It cannot be given back: make another one instead.'],
	run: async () => { await del(`/keys/${kind}/${k.id}`); refresh('/keys'); }, after: () => toast(<>Revoked <b>{nameOf(k)}</b></>),
});

function Ends({ state, expiresMs }: { state: State; expiresMs: number }) {
	if (state === 'used') return <span class="faint">{text.used}</span>;
	if (state === 'revoked') return <span class="faint">{text.revoked}</span>;
	if (state === 'expired') return <span class="faint">{text.expired} {day(expiresMs)}</span>;
	if (!expiresMs) return <>Never</>;
	return expiresMs - now.value < WEEK ? <Chip tone="warn" icon="clock">{until(expiresMs).replace(/^./, c => c.toUpperCase())}</Chip> : <span title={full(expiresMs)}>{day(expiresMs)}</span>;
}
const Name = ({ of: k }: { of: Any }) => <span class="row">{k.description ? <span class="truncate">{k.description}</span> : <code>{k.prefix}</code>}{k.description && <span class="muted"><code>{k.prefix}…</code></span>}</span>;
function ScopeList({ scopes }: { scopes: string[] }) {
	return <span class="chips">{scopes.slice(0, 3).map(s => <Chip key={s}>{scopeWords(s)}</Chip>)}{scopes.length > 3 && <span class="muted" title={scopes.slice(3).map(scopeWords).join('; ')}>+{scopes.length - 3}</span>}</span>;
}

export default function Keys({ params }: PageProps) {
	const kind = (['auth', 'api', 'oauth'].includes(params.kind ?? '') ? params.kind : 'auth') as Kind, answer = useResource<KeysAnswer>('/keys', ['key', 'machine']);
	const kinds = (['auth', 'api', 'oauth'] as Kind[]).filter(k => may(SCOPE[k], 'read')), ended = place.value.query.get('ended') === '1', off = reason(SCOPE[kind], 'keys');
	const people = useResource<{ users: { id: string; name: string; displayName: string }[] }>(may('users', 'read') ? '/users' : null);
	const person = (id: string): string => { const p = people.data?.users.find(u => u.id === id); return p ? p.displayName || p.name : personName(id) || (id ? `person ${id}` : ''); };
	const link = (id: string) => id && may('users', 'read') ? <a href={href(`/users/${id}`)}>{person(id)}</a> : person(id);
	const menu = (k: Any) => k.state === 'active' ? <Button label={`Revoke ${nameOf(k)}`} size="small" kind="quiet" icon="trash" iconOnly reason={off} onClick={() => revoke(kind, k)} /> : '';
	const show = <T extends Any>(rows: T[], columns: Column<T>[]) => {
		const live = rows.filter(k => k.state === 'active'), past = rows.length - live.length, shown = ended ? rows : live;
		return (
			<>
				{shown.length ? <Table label={text.tabs[kind]} rows={shown} keyOf={k => k.id} columns={columns} />
					: <Empty title={text.none[kind]} actions={<Button label={text.create[kind]} reason={off} onClick={CREATE[kind]} />}>{text.noneText[kind]}</Empty>}
				{past > 0 && <p><Button label={ended ? text.hideEnded : `${text.showEnded} (${past})`} kind="quiet" size="small" onClick={() => setQuery({ ended: ended ? '' : '1' })} /></p>}
			</>
		);
	};
	return (
		<div class="page">
			<PageHead title={text.title} actions={<Button label={text.create[kind]} kind="primary" icon="plus" reason={off} onClick={CREATE[kind]} />} />
			<Tabs label={text.title} items={kinds.map(k => ({ text: text.tabs[k], href: href(`/keys/${k}`), count: answer.data?.[k]?.filter(x => x.state === 'active').length, on: k === kind }))} />
			<Loaded resource={answer} what="the keys">{data => kind === 'auth' ? show<AuthKey>(data.auth ?? [], [
				{ head: 'Name', cell: k => <Name of={k} /> },
				{ head: 'What it adds', cell: k => <span class="chips">{k.tags.map(t => <Tag key={t} name={t} />)}{k.ephemeral && <Chip kind="ephemeral" icon="timer">Ephemeral</Chip>}{k.reusable && <Chip icon="infinity">Reusable</Chip>}{k.preauthorized && <Chip icon="check">Approved at once</Chip>}{!k.tags.length && !k.ephemeral && !k.reusable && !k.preauthorized && 'One machine'}</span> },
				{ head: 'For', cell: k => k.tags.length ? <span class="faint" title="Tagged machines belong to nobody">nobody</span> : link(k.user) },
				{ head: 'Machines', cell: k => k.machines ? <span title={full(k.lastUsedMs ?? 0)}>{k.machines.toLocaleString('en')}, last {ago(k.lastUsedMs ?? 0)}</span> : k.used ? 'none left' : 'none yet' },
				{ head: 'Made', cell: k => <span title={full(k.createdMs)}>{ago(k.createdMs)}</span> },
				{ head: 'Expires', cell: k => <Ends state={k.state} expiresMs={k.expiresMs} /> },
				{ head: '', cell: menu },
			]) : kind === 'api' ? show<ApiKey>(data.api ?? [], [
				{ head: 'Name', cell: k => <Name of={k} /> },
				{ head: 'What it may do', cell: k => <ScopeList scopes={k.scopes} /> },
				{ head: 'Acts for', cell: k => k.user ? link(k.user) : 'the server' },
				{ head: 'Last used', cell: k => <span title={full(k.seenMs)}>{ago(k.seenMs)}</span> },
				{ head: 'Expires', cell: k => <Ends state={k.state} expiresMs={k.expiresMs} /> },
				{ head: '', cell: menu },
			]) : show<OauthClient>(data.oauth ?? [], [
				{ head: 'Name', cell: k => <Name of={k} /> },
				{ head: 'What it may do', cell: k => <ScopeList scopes={k.scopes} /> },
				{ head: 'Tags', cell: k => k.tags.length ? <span class="chips">{k.tags.map(t => <Tag key={t} name={t} />)}</span> : '' },
				{ head: 'Last used', cell: k => <span title={full(k.seenMs)}>{ago(k.seenMs)}</span> },
				{ head: '', cell: menu },
			])}</Loaded>
			{kind === 'oauth' && <p class="muted">Its token endpoint is <code>{me.value?.server.url}/api/v2/oauth/token</code>.</p>}
		</div>
	);
}
