import { Button, Card, Command, Copy, Empty, Facts, Icon, Notice, PageHead, Tabs } from '../../components/basics';
import type { IconName } from '../../components/icons';
import { Loaded } from '../../components/resource';
import { href } from '../../data/router';
import { machineList, may, me, useResource } from '../../data/store';
import { ago, full, spanLong, serverNow } from '../../data/time';
import type { Scope } from '../../data/types';
import type { PageProps } from '../../shell/nav';
import { GROUPS, text } from '../../text/settings';
import { SettingsCard, type Setting } from './Rows';
import Backup from './Backup';
import Webhooks from './Webhooks';

const NEEDS: Record<string, Scope> = { webhooks: 'webhooks', backup: 'all', identity: 'users' };

export default function Settings({ params }: PageProps) {
	const tab = params.tab ?? 'general', tabs = Object.keys(text.tabs).filter(t => !NEEDS[t] || may(NEEDS[t]!, 'read'));
	return (
		<div class="page">
			<PageHead title={text.title} />
			<Tabs label={text.title} items={tabs.map(t => ({ text: text.tabs[t]!, href: href(`/settings/${t}`), on: t === tab }))} />
			{tab === 'webhooks' ? <Webhooks /> : tab === 'health' ? <Health /> : tab === 'about' ? <About /> : tab === 'backup' ? <Backup /> : tab === 'identity' ? <Identity /> : tab === 'general' || tab === 'approval' ? <General tab={tab} /> : <Empty title="No such page">The address may be mistyped.</Empty>}
		</div>
	);
}

function General({ tab }: { tab: string }) {
	const answer = useResource<{ settings: Setting[] }>('/settings', ['setting']);
	return <Loaded resource={answer} what="the settings" rows={8}>{data => {
		const byKey = new Map(data.settings.map(s => [s.key, s])), named = new Set(GROUPS.flatMap(g => g[2]));
		const others = data.settings.filter(s => !named.has(s.key) && !s.key.startsWith('dns.') && s.type !== 'json');
		return (
			<>
				{GROUPS.filter(g => g[0] === tab).map(([, title, keys]) => <SettingsCard key={title} title={title} settings={keys.map(k => byKey.get(k)).filter(s => s !== undefined)} />)}
				{tab === 'general' && <SettingsCard title={text.more} settings={others} />}
				{tab === 'general' && <p class="muted">Nameservers, records and search domains are under <a href={href('/dns')}>DNS</a>. What is not here is in the configuration file.</p>}
			</>
		);
	}}</Loaded>;
}

type Provider = { id: string; provider: string; issuer: string; subject: string; user: string };
/** Which providers people came through; they are set up in the configuration file. */
function Identity() {
	const answer = useResource<{ identities: Provider[] }>('/identities', ['identity', 'user']);
	return <Loaded resource={answer} what="identities" rows={4}>{data => {
		const issuers = [...new Map(data.identities.map(i => [i.issuer, i.provider || i.issuer]))];
		return (
			<>
				<Card title="Identity providers"><div class="body stack">
					{issuers.length ? <ul class="lines">{issuers.map(([issuer, name]) => { const n = data.identities.filter(i => i.issuer === issuer).length; return <li key={issuer}><b>{name}</b><code class="muted">{issuer}</code><span class="muted">{n === 1 ? '1 person' : `${n} people`}</span></li>; })}</ul>
						: <p>Nobody has come through an identity provider yet. People sign in by an invite’s link, with a password or a passkey.</p>}
					<p class="muted">Providers are set up in the configuration file, under <code>[oidc]</code>; the server knows a new one after a restart.</p>
					<Command text={'[oidc]\nissuer = "https://id.example.com"\nclient_id = "fairlead"\nclient_secret_path = "/etc/fairlead/oidc.secret"'} />
					<Facts rows={[['Redirect address', <Copy text={`${me.value?.server.url ?? location.origin}/oidc/callback`} what="redirect address" code />]]} />
				</div></Card>
				<p class="muted">Who is linked to what is on each person’s page, under <a href={href('/users')}>Users</a>.</p>
			</>
		);
	}}</Loaded>;
}

type Check = { id: string; state: 'ok' | 'warn' | 'fail' | 'unknown'; text: string; fix: string; value: string };
const ICONS: Record<Check['state'], IconName> = { ok: 'check', warn: 'alert', fail: 'x', unknown: 'info' };
const RANK: Record<Check['state'], number> = { fail: 0, warn: 1, unknown: 2, ok: 3 };
function Health() {
	const answer = useResource<{ checks: Check[]; atMs?: number }>('/checks');
	return <Loaded resource={answer} what="the checks" rows={6}>{data => {
		const rows = [...data.checks].sort((a, b) => RANK[a.state] - RANK[b.state]), bad = rows.filter(c => c.state === 'fail' || c.state === 'warn');
		return (
			<>
				{bad.length ? <Notice tone={bad.some(c => c.state === 'fail') ? 'danger' : 'warn'}><b>{bad.length === 1 ? 'One thing needs a look.' : `${bad.length} things need a look.`}</b></Notice> : <Notice tone="ok"><b>All is well.</b></Notice>}
				<Card title="Checks" actions={<Button label="Check again" size="small" icon="undo" busy={answer.loading} onClick={answer.reload} />}>
					<ul class="checks">{rows.map(c => <li key={c.id} data-state={c.state}><Icon name={ICONS[c.state]} label={{ ok: 'Works', warn: 'Act soon', fail: 'Broken', unknown: 'Not known' }[c.state]} /><b>{c.text}</b><span class="muted">{/^\d{4}-\d\d-\d\dT/.test(c.value) ? <span title={full(c.value)}>{full(c.value)}</span> : c.value}</span>{c.fix && <p>{c.fix}</p>}</li>)}</ul>
				</Card>
			</>
		);
	}}</Loaded>;
}

function About() {
	const m = me.value, stats = useResource<Record<string, unknown>>(may('devices:core', 'read') ? '/stats' : null);
	if (!m) return null;
	const plain = Object.entries(stats.data ?? {}).filter(([, v]) => typeof v === 'number').slice(0, 12) as [string, number][];
	return (
		<>
			<Card title="This server"><div class="body"><Facts rows={[
				['Version', <Copy text={m.server.version} what="version" />], ['Address', <Copy text={m.server.url} what="address" />],
				['Runs', <span title={full(m.server.startedMs)}>for {spanLong(Math.max(1000, serverNow() - m.server.startedMs))}, since {ago(m.server.startedMs)}</span>],
				['Tailnet', `${m.tailnet.name}${m.tailnet.domain ? `, ${m.tailnet.domain}` : ''}`], ['Machines', machineList.value.length.toLocaleString('en')],
				['Policy', m.policyInFile ? <>In the file <code>{m.policyInFile}</code></> : 'In the database, edited here'],
				['Log', <>Kept for as long as <code>audit.retention</code> in the configuration file says</>],
			]} /></div></Card>
			{plain.length > 0 && <Card title="Figures"><div class="body"><Facts rows={plain.map(([k, v]) => [k.replaceAll('_', ' ').replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase().replace(/^./, c => c.toUpperCase()), v.toLocaleString('en')] as [string, string])} /></div></Card>}
			<Card title="Licences"><div class="body"><p>Fairlead is under the MIT licence. The console is built with Preact, Preact Signals and CodeMirror (MIT).</p></div></Card>
		</>
	);
}
