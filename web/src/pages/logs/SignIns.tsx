import { Avatar, Chip, Empty, Skeletons } from '../../components/basics';
import { Failed } from '../../components/overlays';
import { Button } from '../../components/basics';
import { href, place } from '../../data/router';
import { may } from '../../data/store';
import { clock, full } from '../../data/time';
import { text } from '../../text/logs';
import { ByDay, iso, Search, useLog } from './parts';

type Row = { id: string; atMs: number; ok: boolean; user: string; name: string; by: string; provider: string; address: string; agent: string; why: string };

/** Who signed in, by which way, and who was refused. */
export default function SignIns() {
	const q = (place.value.query.get('q') ?? '').trim().toLowerCase(), log = useLog<Row>('/sign-ins?limit=200', ['session', 'user']);
	const rows = log.rows.filter(r => !q || [r.name, r.address, r.provider].some(t => t.toLowerCase().includes(q)));
	return (
		<>
			<div class="toolbar"><Search label="Search sign-ins" hint={text.search.signins!} /></div>
			{log.error && <Failed what="sign-ins" error={log.error} onRetry={log.retry} />}
			{rows.length > 0 ? <ByDay rows={rows} at={r => r.atMs} draw={r => (
				<div class="entry" key={r.id || `${r.atMs}/${r.name}`}>
					<span /><time dateTime={iso(r.atMs)} title={full(r.atMs)}>{clock(r.atMs)}</time>
					<span class="row who"><Avatar name={r.name || '?'} />{r.user && may('users', 'read') ? <a class="truncate" href={href(`/users/${r.user}`)}>{r.name}</a> : <span class="truncate">{r.name || 'somebody unknown'}</span>}</span>
					<span class="what">{r.ok ? text.ok : <><Chip tone="warn" icon="alert">{text.refused}</Chip>{r.why && ` ${r.why}`}</>}{r.by && ` through ${r.provider || text.by[r.by] || r.by}`}</span><span class="via" title={r.agent}><code>{r.address}</code></span>
				</div>)} />
				: log.loading ? <Skeletons rows={6} /> : !log.error && <Empty title={text.none}>{q ? text.noneText : 'Nobody has signed in by browser yet.'}</Empty>}
			{log.more && <p><Button label={text.more} onClick={log.more} /></p>}
		</>
	);
}
