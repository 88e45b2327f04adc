import { useState } from 'preact/hooks';
import { Avatared, Button, Card, Chip, Empty, Field, Segmented } from '../../components/basics';
import { Diff } from '../../components/diff';
import { Dialog, openDialog, toast, Wrong } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { post } from '../../data/api';
import type { DiffAnswer, Version, VersionRow } from '../../data/policy';
import { go, href, place, setQuery } from '../../data/router';
import { may, me, refresh, useResource, who } from '../../data/store';
import { full, when } from '../../data/time';
import { historyText as text } from '../../text/access';
import { load } from './draft';
import { Effect, Receivers, Tally } from './Effect';

export default function History({ rest }: { rest: string }) {
	const list = useResource<{ versions: VersionRow[] }>('/policy/versions', ['policy']);
	return (
		<Loaded resource={list} what="the versions" rows={8}>{answer => {
			const rows = answer.versions, chosen = rows.find(v => v.version === Number(rest)) ?? rows[0];
			if (!chosen) return <Empty title={text.none}>{text.noneText}</Empty>;
			return (
				<div class="columns">
					<div><OneVersion key={chosen.version} row={chosen} before={rows[rows.indexOf(chosen) + 1]} latest={rows[0]!.version} /></div>
					<div><Card title={text.versions}><ol class="versions">{rows.map(v => (
						<li key={v.version}><a href={href(`/access/history/${v.version}`)} aria-current={v === chosen ? 'true' : undefined}>
							<b class="truncate">{v.note || text.noMessage}</b><span title={full(v.createdAt)}>{v.version} · {who(v.author)}, {when(v.createdAt)}</span>
							{v.inForce ? <Chip tone="accent">{text.inForce}</Chip> : v.gained !== null && v.lost !== null ? <span>{[v.gained ? `+${v.gained}` : '', v.lost ? `−${v.lost}` : ''].filter(Boolean).join(' ')}</span> : <span />}
						</a></li>
					))}</ol></Card></div>
				</div>
			);
		}}</Loaded>
	);
}

function OneVersion({ row, before, latest }: { row: VersionRow; before?: VersionRow; latest: number }) {
	const show = place.value.query.get('show') ?? 'text', against = place.value.query.get('with') === 'now' && row.version !== latest ? latest : before?.version ?? 0;
	const mine = useResource<Version>(`/policy/versions/${row.version}`), old = useResource<Version>(against ? `/policy/versions/${against}` : null), diff = useResource<DiffAnswer>(against ? `/policy/diff?from=${against}&to=${row.version}` : null);
	const writable = may('policy_file') && !me.value?.policyInFile;
	return (
		<>
			<Card title={text.version(row.version)} actions={<div class="row">
				<Segmented label="Show" items={[{ text: text.text, on: show === 'text', pick: () => setQuery({ show: '' }) }, { text: text.whole, on: show === 'whole', pick: () => setQuery({ show: 'whole' }) }]} />
				{row.version !== latest && writable && <Button label={text.restore} size="small" icon="undo" onClick={() => openDialog(close => <Restore row={row} latest={latest} close={close} />)} />}
			</div>} foot={text.restoreFoot}>
				<div class="body stack">
					<Avatared name={who(row.author)}><span><b>{who(row.author)}</b> <span class="muted" title={full(row.createdAt)}>{when(row.createdAt)}</span></span></Avatared>
					{row.note && <p>“{row.note}”</p>}
					{row.version !== latest && <label class="row muted"><input type="checkbox" class="check" checked={against === latest} onChange={e => setQuery({ with: e.currentTarget.checked ? 'now' : '' })} />{text.compare}</label>}
					<Loaded resource={mine} what="its text" rows={6}>{v => <div class="card">{show === 'whole' || !against ? <Diff before={v.policy} after={v.policy} context={1e9} label="Policy" /> : old.data ? <Diff before={old.data.policy} after={v.policy} /> : null}</div>}</Loaded>
				</div>
			</Card>
			{against > 0 && <Card title={text.changed} actions={<Tally changes={diff.data?.changes ?? null} />} foot={text.reckoned}><Loaded resource={diff} what="what it changed" rows={3}>{d => <><Effect changes={d.changes} hidden={d.hidden} most={20} none={text.nothing} /><Receivers machines={d.machines} /></>}</Loaded></Card>}
			{!against && <p class="muted">{text.first}</p>}
		</>
	);
}

/** Through the same preview as any other version. */
function Restore({ row, latest, close }: { row: VersionRow; latest: number; close: () => void }) {
	const diff = useResource<DiffAnswer>(`/policy/diff?from=${latest}&to=${row.version}`), a = useResource<Version>(`/policy/versions/${latest}`), b = useResource<Version>(`/policy/versions/${row.version}`);
	const [note, setNote] = useState(`Restored version ${row.version}`), [busy, setBusy] = useState(false), [error, setError] = useState<unknown>(null);
	const run = () => {
		setBusy(true);
		setError(null);
		post<Version>('/policy/rollback', { version: row.version, note: note.trim(), base: latest }).then(async v => {
			close();
			refresh('/policy/versions', '/policy/diff');
			await load();
			toast(text.restored(row.version, v.version), () => post('/policy/rollback', { version: latest, note: `Undo of version ${v.version}` }).then(() => load()));
			go('/access/history');
		}, e => setError(e)).finally(() => setBusy(false));
	};
	return (
		<Dialog title={text.restoreTitle(row.version)} onClose={close} wide>
			<div class="card"><header><h3>What it changes</h3><Tally changes={diff.data?.changes ?? null} /></header><Loaded resource={diff} what="what it changes" rows={3}>{d => <><Effect changes={d.changes} hidden={d.hidden} none={text.nothing} /><Receivers machines={d.machines} /></>}</Loaded></div>
			{a.data && b.data && <div class="card"><Diff before={a.data.policy} after={b.data.policy} context={1} /></div>}
			<Field label="Message">{ids => <input class="input" {...ids} maxLength={200} value={note} onInput={e => setNote(e.currentTarget.value)} />}</Field>
			<Wrong error={error} />
			<div class="toolbar"><span class="push" /><button type="button" class="button" data-autofocus onClick={close}>Keep version {latest}</button><Button kind="primary" label={`Restore version ${row.version}`} busy={busy} onClick={run} /></div>
		</Dialog>
	);
}
