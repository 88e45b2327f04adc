import { useRef } from 'preact/hooks';
import { Button, Dot, Empty, Skeletons } from '../../components/basics';
import { Failed } from '../../components/overlays';
import { query as queryOf } from '../../data/api';
import { href, place, setQuery } from '../../data/router';
import { machineList, machines } from '../../data/store';
import { clock, full, now } from '../../data/time';
import { text } from '../../text/logs';
import { ByDay, iso, Search, SpanChip, spanOf, useLog } from './parts';

type Row = { id: string; atMs: number; machine: string; name: string; online: boolean };

/** When machines came and went; the last seven days. */
export default function Connections() {
	const query = place.value.query, q = (query.get('q') ?? '').trim().toLowerCase(), only = q ? machineList.value.find(m => m.name === q || m.id === q || m.v4 === q) : undefined;
	const key = ['span', 'from', 'to'].map(k => query.get(k) ?? '').join('\n') + (only?.id ?? ''), path = useRef({ key: '', path: '' });
	if (path.current.key !== key) {
		const span = spanOf(query, now.value);
		path.current = { key, path: `/connections${queryOf({ since: iso(span.since), until: iso(span.until), machine: only?.id, limit: 200 })}` };
	}
	const log = useLog<Row>(path.current.path, ['machine']), rows = log.rows.filter(r => !q || only || r.name.includes(q));
	return (
		<>
			<div class="toolbar"><Search label="Search connections" hint={text.search.connections!} /><SpanChip /></div>
			{log.fresh > 0 && <button type="button" class="fresh" onClick={log.showFresh}>{text.fresh(log.fresh)}</button>}
			{log.error && <Failed what="connections" error={log.error} onRetry={log.retry} />}
			{rows.length > 0 ? <ByDay rows={rows} at={r => r.atMs} draw={r => (
				<div class="entry" key={`${r.atMs}/${r.machine}/${r.online}`}>
					<Dot state={r.online ? 'online' : 'offline'} /><time dateTime={iso(r.atMs)} title={full(r.atMs)}>{clock(r.atMs)}</time>
					<span class="row who">{machines.value.byId.has(r.machine) ? <a class="truncate" href={href(`/machines/${r.machine}`)}>{r.name}</a> : <span class="truncate">{r.name || `machine ${r.machine}`}</span>}</span>
					<span class="what">{r.online ? text.came : text.went}</span><span class="via" />
				</div>)} />
				: log.loading ? <Skeletons rows={8} /> : !log.error && <Empty title={text.none} actions={q ? <Button label={text.clear} onClick={() => setQuery({ q: '' })} /> : undefined}>{text.noneText}</Empty>}
			{log.more && <p><Button label={text.more} onClick={log.more} /></p>}
		</>
	);
}
