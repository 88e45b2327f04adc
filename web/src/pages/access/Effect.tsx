// What a draft or a version changes, in words: used by the preview, the review, history.
import { Changes, type ChangeItem } from '../../components/diff';
import { capital, changeWords, rulesWords, type Changed, type Preview, type Touched } from '../../data/policy';
import { text } from '../../text/access';

const MOST_GROUPS = 8;

export const Tally = ({ changes }: { changes: Changed | null }) => changes && (changes.gained > 0 || changes.lost > 0) ? (
	<span class="tally">{changes.gained > 0 && <span class="gain" title="connections gained">+{changes.gained.toLocaleString('en')}</span>}{changes.lost > 0 && <span class="loss" title="connections lost">−{changes.lost.toLocaleString('en')}</span>}</span>
) : null;

export function Effect({ changes, hidden, most = MOST_GROUPS, none = text.noChanges }: { changes: Changed | null; hidden: boolean; most?: number; none?: string }) {
	if (hidden) return <p class="pad muted">{text.hidden}</p>;
	if (!changes) return <p class="pad muted">{text.unread}</p>;
	if (!changes.exact) return <p class="pad muted">{text.tooMuch}</p>;
	if (!changes.items.length) return <p class="pad muted">{none}</p>;
	const items = changes.items.slice(0, most).map((c): ChangeItem => { const w = changeWords(c); return { kind: c.what === 'gained' ? 'gain' : 'loss', what: <><b>{capital(w.who)}</b>{w.what}</>, why: w.why }; });
	const rest = changes.items.length - items.length + changes.more;
	return <><Changes items={items} />{rest > 0 && <p class="pad muted">{text.more(rest)}</p>}</>;
}

export function TestList({ preview }: { preview: Preview }) {
	const t = preview.tests;
	if (!t) return <p class="pad muted">{text.unread}</p>;
	if (!t.total) return <p class="pad muted">{text.noTests}</p>;
	const items = t.failures.map((f): ChangeItem => ({
		kind: 'fail', what: <><b>{f.src}</b>{f.expected === 'deny' ? 'must not reach' : 'must reach'} {f.dst}</>,
		why: [f.line ? `Line ${f.line}` : '', f.expected === 'deny' && f.rules.length ? `allowed by ${rulesWords(f.rules)} of this draft` : f.expected !== 'deny' ? 'no rule lets it' : ''].filter(Boolean).join(' · '),
	}));
	if (t.passed) items.push({ kind: 'pass', what: t.failures.length ? text.others(t.passed) : t.total === 1 ? 'The one test' : `All ${t.total}`, why: preview.tookUs ? text.checkedIn(preview.tookUs) : '' });
	return <Changes items={items} />;
}

export const Receivers = ({ machines }: { machines: Touched }) => machines ? (
	<Changes items={[{ kind: 'pass', what: text.receive(machines.changed, machines.total), why: [machines.changed > 0 && machines.first.length > 0 ? `${machines.first.map(m => m.name).join(', ')}${machines.changed > machines.first.length ? ` and ${machines.changed - machines.first.length} more` : ''}.` : '', text.undisturbed(machines.total - machines.changed)].filter(Boolean).join(' ') }]} />
) : null;
