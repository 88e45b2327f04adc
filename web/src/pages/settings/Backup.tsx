import { useState } from 'preact/hooks';
import { Button, Card, Chip, Command, Empty, Facts, Notice } from '../../components/basics';
import { failed, MenuButton, openDanger, toast } from '../../components/overlays';
import { Loaded } from '../../components/resource';
import { Table } from '../../components/table';
import { apiUrl, del, post } from '../../data/api';
import { may, refresh, useResource } from '../../data/store';
import { ago, bytes, full } from '../../data/time';
import { backup as text } from '../../text/settings';

type File = { name: string; bytes: number; madeMs: number };
type Answer = { folder: string; databaseBytes: number; freeBytes: number; most: number; backups: File[] };
type Verdict = { whole: boolean; text: string };

/** Copies of the database on the server: made, looked at, fetched. */
export default function Backup() {
	const answer = useResource<Answer>('/backups'), off = may('all') ? undefined : text.adminsOnly;
	const [busy, setBusy] = useState(false), [verdicts, setVerdicts] = useState<Record<string, Verdict | 'busy'>>({});
	const again = () => refresh('/backups');
	const make = () => {
		setBusy(true);
		post<{ backup: File }>('/backups').then(made => { again(); toast(<>{text.made} <b>{made.backup.name}</b>, {bytes(made.backup.bytes)}</>); }, e => failed(text.notMade, e)).finally(() => setBusy(false));
	};
	const verify = (f: File) => {
		setVerdicts(v => ({ ...v, [f.name]: 'busy' }));
		post<Verdict>(`/backups/${f.name}/verify`).then(v => setVerdicts(all => ({ ...all, [f.name]: v })), e => { setVerdicts(({ [f.name]: _, ...rest }) => rest); failed(text.notVerified, e); });
	};
	const remove = (f: File) => openDanger({
		title: `Remove ${f.name}?`, action: 'Remove it', keep: 'Keep it', effects: [`It was made ${ago(f.madeMs)} and holds ${bytes(f.bytes)}.`, 'It cannot be brought back.'],
		run: async () => { await del(`/backups/${f.name}`); again(); }, after: () => toast(<>Removed <b>{f.name}</b></>),
	});
	const state = (f: File) => {
		const v = verdicts[f.name];
		return !v ? <span class="faint">{text.unverified}</span> : v === 'busy' ? <span class="muted">{text.verifying}</span> : v.whole ? <Chip tone="ok" icon="check" title={v.text}>{text.whole}</Chip> : <Chip tone="danger" icon="alert" title={v.text}>{v.text}</Chip>;
	};
	return (
		<Loaded resource={answer} what="the backups" rows={4}>{data => (
			<>
				<Card title={text.title} actions={<Button label={text.make} size="small" icon="plus" reason={off} busy={busy} onClick={make} />}
					foot={<span>{text.holds}</span>}>
					{data.backups.length ? <Table label={text.title} rows={data.backups} keyOf={f => f.name} columns={[
						{ head: 'File', cell: f => <code>{f.name}</code> },
						{ head: 'Made', cell: f => <span title={full(f.madeMs)}>{ago(f.madeMs)}</span> },
						{ head: 'Size', number: true, cell: f => bytes(f.bytes) },
						{ head: 'State', cell: state },
						{ head: '', cell: f => <MenuButton label={`Actions for ${f.name}`} size="small" items={() => [
							{ text: text.verify, icon: 'check', reason: off, run: () => verify(f) }, { text: text.download, icon: 'down', reason: off, run: () => download(f) }, 'line', { text: 'Remove…', icon: 'trash', danger: true, reason: off, run: () => remove(f) },
						]} /> },
					]} /> : <Empty title={text.none}>{text.noneText}</Empty>}
				</Card>
				<Card title={text.where}><div class="body stack">
					<Facts rows={[['Folder', <code>{data.folder}</code>], ['Database', bytes(data.databaseBytes)], data.freeBytes >= 0 && ['Free on the disk', bytes(data.freeBytes)], ['Kept', `At most ${data.most}; then an old one has to go before a new one.`]]} />
					<p>{text.cron}</p><Command text="fairlead backup /mnt/elsewhere/fairlead.db" />
				</div></Card>
				<Card title={text.back}><div class="body"><ol class="steps">{text.steps.map(s => <li key={s}>{s}</li>)}</ol></div></Card>
			</>
		)}</Loaded>
	);
}

function download(f: File): void {
	openDanger({
		title: `Download ${f.name}?`, action: 'Download', keep: 'Leave it there', text: <Notice tone="warn" icon="key">{text.secrets}</Notice>,
		run: async () => { location.assign(apiUrl(`/backups/${f.name}`)); },
	});
}
