import { useEffect, useRef } from 'preact/hooks';
import { Button, Chip, Copy, Empty, Skeletons } from '../../components/basics';
import { Failed, MenuButton } from '../../components/overlays';
import { query as queryOf } from '../../data/api';
import { place, setQuery } from '../../data/router';
import { clock, full } from '../../data/time';
import { text } from '../../text/logs';
import { ByDay, iso, Search, useLog } from './parts';

type Line = { id: string; atMs: number; level: 'debug' | 'info' | 'warn' | 'error'; text: string; fields: string };
const AGAIN_MS = 10_000;

/** What the server says of itself, since it started. Nothing tells when there is more: it is looked for now and then. */
export default function ServerLog() {
	const query = place.value.query, level = query.get('level') ?? '', log = useLog<Line>(`/log${queryOf({ level, q: query.get('q') })}`, []), look = useRef(log.look);
	look.current = log.look;
	useEffect(() => { const timer = setInterval(() => { if (!document.hidden) look.current(); }, AGAIN_MS); return () => clearInterval(timer); }, []);
	return (
		<>
			<div class="toolbar">
				<Search label="Search the server's log" hint={text.search.server!} />
				<MenuButton chip iconOnly={false} icon={level ? 'check' : 'plus'} label={text.levels[level] ?? text.levels['']!} items={() => Object.entries(text.levels).map(([key, words]) => ({ text: words, checked: key === level, run: () => setQuery({ level: key }) }))} />
			</div>
			{log.fresh > 0 && <button type="button" class="fresh" onClick={log.showFresh}>{text.fresh(log.fresh)}</button>}
			{log.error && <Failed what="the server's log" error={log.error} onRetry={log.retry} />}
			{log.rows.length > 0 ? <ByDay rows={log.rows} at={r => r.atMs} draw={r => (
				<div class="entry" data-log="server" key={r.id}>
					<span /><time dateTime={iso(r.atMs)} title={full(r.atMs)}>{clock(r.atMs)}</time>
					<span class="row who">{r.level === 'error' ? <Chip tone="danger" icon="x">Error</Chip> : r.level === 'warn' ? <Chip tone="warn" icon="alert">Warning</Chip> : <span class="faint">{r.level}</span>}</span>
					<span class="what"><b>{r.text}</b> <code class="muted">{r.fields}</code></span><span class="via"><Copy text={`${iso(r.atMs) ?? ''} ${r.level} ${r.text} ${r.fields}`} what="line"><span class="visually-hidden">line</span></Copy></span>
				</div>)} />
				: log.loading ? <Skeletons rows={8} /> : !log.error && <Empty title={text.none} actions={query.get('q') || level ? <Button label={text.clear} onClick={() => setQuery({ q: '', level: '' })} /> : undefined}>{text.noneText}</Empty>}
			{log.rows.length > 0 && (log.more ? <p><Button label={text.more} onClick={log.more} /></p> : !log.loading && <p class="muted">{text.serverEnd}</p>)}
		</>
	);
}
