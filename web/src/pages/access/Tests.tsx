import { Card, Chip, Empty, LinkButton, Skeletons } from '../../components/basics';
import { Table } from '../../components/table';
import { useEffect, useState } from 'preact/hooks';
import { post } from '../../data/api';
import { testsOf, type PolicyTest } from '../../data/hujson';
import type { Preview, TestFailure } from '../../data/policy';
import { href } from '../../data/router';
import { onChanges } from '../../data/store';
import { rulesWords } from '../../data/policy';
import { draftBase, draftText, inForce, preview } from './draft';

type Line = { test: PolicyTest; what: string; expect: 'accept' | 'deny'; failure?: TestFailure };

/** What must stay open or closed; run against the draft if there is one, else against the version in force and the machines of now. */
export default function Tests() {
	const policy = draftText.value ?? inForce.value!.policy, [ran, setRan] = useState<Preview | null>(null), [failed, setFailed] = useState('');
	useEffect(() => {
		if (draftText.value !== null) return;
		const run = () => void post<Preview>('/policy/preview', { policy, base: draftBase.value || undefined }).then(p => { setRan(p); setFailed(''); }, (e: unknown) => setFailed(e instanceof Error ? e.message : String(e)));
		run();
		return onChanges(['policy', 'machine'], changes => { if (changes.some(c => c.kind !== 'machine' || c.action === 'create' || c.action === 'delete')) run(); });
	}, [policy]);
	const p = draftText.value !== null ? preview.value : ran, lines: Line[] = testsOf(policy).flatMap(test => [...test.accept.map(what => ({ test, what, expect: 'accept' as const })), ...test.deny.map(what => ({ test, what, expect: 'deny' as const }))]);
	for (const line of lines) line.failure = p?.tests?.failures.find(f => f.line >= line.test.line && f.src === line.test.src && (f.expected === 'deny') === (line.expect === 'deny') && (line.what === f.dst || line.what.startsWith(f.dst) || f.dst.startsWith(line.what)));
	if (!lines.length) return <Empty title="No tests yet" actions={<LinkButton label="Ask a question" href={href('/access/reach')} />}>A test says what must stay open or closed, and no version is saved that breaks one. Any answer of “Who can reach what” can become a test.</Empty>;
	return (
		<Card title={draftText.value !== null ? 'Tests, run against your draft' : 'Tests, run against the version in force'} actions={p?.tests ? <span class="muted push-end">{p.tests.passed} of {p.tests.total} pass</span> : undefined} foot={<span>Tests run at each change of the draft, and before a version is saved. Add one from an answer of <a href={href('/access/reach')}>Who can reach what</a>.</span>}>
			{failed ? <p class="pad muted">{failed}</p> : !p ? <div class="body"><Skeletons rows={lines.length} /></div> : (
				<Table label="Tests" rows={lines} keyOf={l => `${l.test.line}/${l.expect}/${l.what}`} columns={[
					{ head: 'Test', cell: l => <><code>{l.test.src}</code> {l.expect === 'accept' ? 'reaches' : 'must not reach'} <code>{l.what}</code>{l.test.ssh && ' by SSH'}{l.test.proto && ` (${l.test.proto})`}</> },
					{ head: 'Expects', cell: l => l.expect === 'accept' ? 'Open' : 'Closed' },
					{ head: 'Result', cell: l => l.failure ? <Chip tone="danger" icon="x">{l.expect === 'deny' ? `Open, by ${rulesWords(l.failure.rules) || 'a rule'}` : 'Closed'}</Chip> : !p.tests ? <Chip>Not run</Chip> : <Chip tone="ok" icon="check">Passes</Chip> },
					{ head: 'Line', cell: l => <a href={href(`/access?line=${l.test.line}`)}>{l.test.line}</a> },
				]} />
			)}
		</Card>
	);
}
