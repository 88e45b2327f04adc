import type { ComponentType } from 'preact';
import { useEffect, useReducer, useState } from 'preact/hooks';
import { Notice, PageHead, Skeletons, Tabs } from '../../components/basics';
import { Failed } from '../../components/overlays';
import { ApiError } from '../../data/api';
import { testsOf } from '../../data/hujson';
import { href } from '../../data/router';
import { may, me, onChanges } from '../../data/store';
import type { PageProps } from '../../shell/nav';
import { text } from '../../text/access';
import { draftText, inForce, load, loadError, look, preview } from './draft';

const PARTS: Record<string, () => Promise<{ default: ComponentType<{ rest: string }> }>> = { '': () => import('./Policy'), reach: () => import('./Reach'), tests: () => import('./Tests'), history: () => import('./History') };

export default function Access({ params }: PageProps) {
	const [part, ...more] = (params.rest ?? '').split('/'), name = PARTS[part ?? ''] ? part ?? '' : '';
	const [shown, setShown] = useState<{ name: string; View: ComponentType<{ rest: string }> } | null>(null), [away, setAway] = useState(false), [turn, again] = useReducer<number, void>(n => n + 1, 0);
	useEffect(() => { if (!inForce.value) void load(); return onChanges(['policy'], () => void look()); }, []);
	useEffect(() => {
		let old = false;
		PARTS[name]!().then(m => { if (!old) { setAway(false); setShown({ name, View: m.default }); } }, () => { if (!old) setAway(true); });
		return () => { old = true; };
	}, [name, turn]);
	const policy = draftText.value ?? inForce.value?.policy ?? '', failing = preview.value?.tests ? preview.value.tests.total - preview.value.tests.passed : 0;
	const nTests = inForce.value ? testsOf(policy).reduce((n, t) => n + t.accept.length + t.deny.length, 0) : undefined;
	const file = me.value?.policyInFile;
	return (
		<div class="page">
			<PageHead title={text.title} />
			<Tabs label={text.tabsLabel} items={[
				{ text: text.tabs.policy, href: href('/access'), on: name === '' }, { text: text.tabs.reach, href: href('/access/reach'), on: name === 'reach' },
				{ text: text.tabs.tests, href: href('/access/tests'), on: name === 'tests', count: failing || nTests, tone: failing ? 'warn' : undefined }, { text: text.tabs.history, href: href('/access/history'), on: name === 'history' },
			]} />
			{file ? <Notice icon="lock">{text.readFile(file)}</Notice> : !may('policy_file') && <Notice icon="eye"><b>{text.readRole}</b></Notice>}
			{away && <Failed what="this page" error={new ApiError('The server cannot be reached, or has another version now.', 0)} onRetry={() => again()} />}
			{loadError.value && <Failed what="the policy" error={loadError.value} onRetry={() => void load()} />}
			{shown && shown.name === name && inForce.value ? <shown.View rest={more.join('/')} /> : !loadError.value && !away && <Skeletons rows={12} />}
		</div>
	);
}
