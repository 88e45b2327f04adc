import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button, Field, Icon, Notice, Segmented, Skeletons } from '../../components/basics';
import { Diff } from '../../components/diff';
import { Dialog, failed, openDialog, openForm, toast, Wrong } from '../../components/overlays';
import { ApiError, get, post, put } from '../../data/api';
import { merge } from '../../data/diff';
import { addTo, dropRule, lineOf, namesOf, ruleAt, rulesOf, setList, type Rule } from '../../data/hujson';
import { faultWords, type Fault, type Version } from '../../data/policy';
import { place, setQuery } from '../../data/router';
import { machineList, may, me, useResource, who } from '../../data/store';
import { tailnetName } from '../../shell/Shell';
import { useKeys } from '../../shell/keys';
import { text } from '../../text/access';
import { changed, conflict, discard, draftBase, draftText, inForce, load, preview, previewError, saved, take } from './draft';
import { Effect, Receivers, Tally, TestList } from './Effect';
import type { Editor, Word } from './editor';

const AUTOGROUPS = ['autogroup:member', 'autogroup:admin', 'autogroup:owner', 'autogroup:tagged', 'autogroup:self', 'autogroup:internet', 'autogroup:nonroot', 'autogroup:danger-all', 'autogroup:network-admin', 'autogroup:it-admin', 'autogroup:auditor'];
type Person = { id: string; name: string; email: string; displayName: string };

export default function Policy() {
	const host = useRef<HTMLDivElement>(null), editor = useRef<Editor | null>(null), [ready, setReady] = useState(false), [problem, setProblem] = useState('');
	const [inRule, setInRule] = useState(false);
	const writable = may('policy_file') && !me.value?.policyInFile, show = place.value.query.get('show') ?? (narrowScreen() ? 'rules' : ''), comparing = show === 'compare', listing = show === 'rules', wantLine = Number(place.value.query.get('line')) || 0;
	const people = useResource<{ users: Person[] }>(may('users', 'read') ? '/users' : null).data?.users ?? [];
	const peopleRef = useRef(people);
	peopleRef.current = people;
	const now = inForce.value!, dirty = draftText.value !== null, p = dirty ? preview.value : null;

	useEffect(() => {
		let gone = false;
		import('./editor').then(({ makeEditor }) => {
			if (gone || !host.current) return;
			const words = (): Word[] => {
				const out: Word[] = namesOf(editor.current?.get() ?? '').map(n => ({ label: n.name, detail: n.what })), seen = new Set(out.map(w => w.label));
				const add = (label: string, detail: string) => { if (label && !seen.has(label)) { seen.add(label); out.push({ label, detail }); } };
				for (const a of AUTOGROUPS) add(a, 'autogroup');
				for (const u of peopleRef.current) add(u.email || (u.name.includes('@') ? u.name : `${u.name}@`), u.displayName || 'person');
				for (const m of machineList.value) for (const t of m.tags) add(t, 'tag in use');
				return out;
			};
			editor.current = makeEditor(host.current, {
				text: draftText.value ?? now.policy, readOnly: !writable, label: text.editorLabel, start: text.start, words, onChange: changed, onSave: () => review(),
				onCursor: at => setInRule(ruleAt(editor.current?.get() ?? '', at) !== undefined),
			});
			editor.current.base(now.policy);
			setReady(true);
		}, () => setProblem('The editor could not be loaded. Load the page again.'));
		return () => { gone = true; editor.current?.destroy(); editor.current = null; };
	}, []);
	// A draft that came from elsewhere (merge, restore, another tab's save) is shown; what is typed here is the draft already.
	useEffect(() => { const e = editor.current, want = draftText.value ?? now.policy; if (e && e.get() !== want) e.set(want); }, [draftText.value, now.version, ready]);
	useEffect(() => { editor.current?.base(now.policy); }, [now.policy, ready]);
	const faults: Fault[] = p ? p.errors.filter((f, i) => p.errors.findIndex(o => o.line === f.line && o.text === f.text) === i) : [];
	useEffect(() => { editor.current?.faults(faults); }, [p, ready]);
	useEffect(() => { if (ready && wantLine && listing) setQuery({ show: 'text' }); else if (ready && wantLine) { editor.current!.go(wantLine); setQuery({ line: '' }); } }, [ready, wantLine, listing]);
	useKeys({ F8: () => editor.current?.nextProblem() });

	const errors = p?.errors.length ?? 0, failing = p?.tests ? p.tests.total - p.tests.passed : 0, canSave = dirty && p !== null && p.valid && !conflict.value;
	const review = () => { if (draftText.value !== null && preview.value?.valid && !conflict.value) openDialog(close => <Review close={close} />); };
	const warnings = p?.warnings ?? [];

	return (
		<>
			{conflict.value && dirty && (
				<Notice tone="danger" alert actions={<><Button label={text.merge} size="small" onClick={() => void mergeNow()} /><Button label={text.takeTheirs} size="small" kind="quiet" onClick={() => void discard()} /></>}>
					<b>{text.conflict(who(conflict.value.author), conflict.value.version)}</b> {text.conflictMore}
				</Notice>
			)}
			{problem && <Notice tone="warn" alert>{problem}</Notice>}
			<div class="policy">
				<section class="editor" aria-label="Policy editor">
					<div class="bar-top">
						<span class="row"><b>{text.file}</b><span class="muted wide-only">{dirty ? text.draft(draftBase.value) : text.inForce(now.version)}</span></span>
						<span class="push row">
							{writable && inRule && !comparing && !listing && <Button label={text.asForm} kind="quiet" size="small" onClick={() => asForm(editor.current!)} />}
							{writable && !comparing && !listing && <Button label={text.format} kind="quiet" size="small" onClick={() => void format(editor.current)} />}
							<Segmented label="Show" items={[{ text: text.rules, on: listing, pick: () => setQuery({ show: 'rules' }) }, { text: text.edit, on: !comparing && !listing, pick: () => setQuery({ show: 'text' }) }, { text: text.compare, on: comparing, pick: () => setQuery({ show: 'compare' }) }]} />
						</span>
					</div>
					{listing && <Rules policy={draftText.value ?? now.policy} writable={writable} faults={faults} write={words => changed(words)} />}
					<div class="editor-host" hidden={comparing || listing} ref={host}>{!ready && !problem && <Skeletons rows={14} />}</div>
					{comparing && (dirty ? <Diff before={now.policy} after={draftText.value!} context={3} /> : <div class="code-view pad muted">{text.noDraft}</div>)}
					<div class="bar-end">
						{!dirty ? <span class="muted">{text.same}</span> : previewError.value ? <span class="row"><Icon name="alert" /><span>{previewError.value}</span></span>
							: p === null ? <span class="muted">{text.checking}</span> : errors + failing > 0 ? <span class="row"><Icon name="alert" /><span><b>{text.problems(errors, failing)}</b> <span class="muted wide-only">{text.nobodyYet}</span></span></span>
								: <span class="muted">{text.ready} {text.nobodyYet}</span>}
						<span class="push" />
						{writable && <Button label={text.discard} kind="quiet" disabled={!dirty} onClick={() => { const was = draftText.value!, base = draftBase.value; void discard(); toast(text.discarded, () => take(was, base)); }} />}
						{writable && <Button label={text.review} kind="primary" disabled={!canSave} onClick={review} />}
					</div>
				</section>
				<aside class="preview" aria-label={text.changes} aria-busy={dirty && p === null} aria-live="polite">
					<section><header><h2>{text.changes}</h2><Tally changes={p?.changes ?? null} /></header>
						{!dirty ? <p class="pad muted">{text.noDraft}</p> : p ? <><Effect changes={p.changes} hidden={p.hidden} />{p.partial && p.changes && <p class="pad faint">{text.partial}</p>}</> : <p class="pad muted">{text.checking}</p>}</section>
					{p && <section><header><h2>{text.tests}</h2>{p.tests && p.tests.total > 0 && <span class="muted">{text.testsPass(p.tests.passed, p.tests.total)}</span>}</header><TestList preview={p} /></section>}
					{p && p.machines && <section><header><h2>{text.onSave}</h2></header><Receivers machines={p.machines} /></section>}
					{(warnings.length > 0 || (p?.lockout.length ?? 0) > 0) && <section class="pad-section">{p!.lockout.map(l => <Notice key={l.kind} tone="danger">{l.text}</Notice>)}{warnings.map((w, i) => <Notice key={i} tone="warn">{w.line ? <b>Line {w.line}: </b> : null}{w.text}</Notice>)}</section>}
				</aside>
			</div>
		</>
	);
}

async function mergeNow(): Promise<void> {
	const mine = draftText.value, base = draftBase.value;
	if (mine === null) return;
	try {
		const [old, theirs] = await Promise.all([get<Version>(`/policy/versions/${base}`).catch((): Version => ({ version: 0, author: '', note: '', createdAt: null, policy: '' })), get<Version>('/policy')]);
		const merged = merge(old.policy, mine, theirs.policy);
		inForce.value = theirs;
		take(merged.text, theirs.version);
		toast(text.merged(merged.conflicts), () => take(mine, theirs.version));
	} catch (e) { failed('Not merged', e); }
}

async function format(editor: Editor | null): Promise<void> {
	if (!editor) return;
	try {
		const answer = await post<{ policy: string; changed: boolean }>('/policy/format', { policy: editor.get() });
		if (answer.changed) editor.set(answer.policy);
		toast(answer.changed ? 'Formatted' : 'It is formatted already');
	} catch (e) { failed('Not formatted', e); }
}

const narrowScreen = (): boolean => matchMedia('(width < 44rem)').matches;
const RULE_WORDS = { grants: text.reaches, acls: text.reaches, ssh: text.logsIn } as const;

/** The rules one by one, for a thumb: tap one to change it by a form; the text stays what counts. */
function Rules({ policy, writable, faults, write }: { policy: string; writable: boolean; faults: Fault[]; write: (policy: string) => void }) {
	const rules = rulesOf(policy);
	const add = () => {
		const made = addTo(policy, 'grants', '{"src": [], "dst": [], "ip": ["*"]}'), rule = made && rulesOf(made).filter(r => r.section === 'grants').pop();
		if (made && rule) ruleForm(rule, () => made, write, text.newRule);
	};
	return (
		<div class="rules">
			{rules.length ? <ol>{rules.map(r => {
				const line = lineOf(policy, r.from), last = lineOf(policy, r.to), wrong = faults.filter(f => f.line >= line && f.line <= last), words = <><b>{r.src.join(', ') || text.nobody}</b> <span class="muted">{RULE_WORDS[r.section]}</span> <b>{r.dst.join(', ') || text.nothing}</b>{r.ports.length > 0 && <span class="muted"> {r.section === 'ssh' ? text.as : text.on} {r.section !== 'ssh' && r.ports.join() === '*' ? text.allPorts : r.ports.join(', ')}</span>}</>;
				return (
					<li key={r.from}>
						<div><span>{words}</span><span class="faint">{text.line(line)}</span></div>
						{wrong.map(f => <p class="wrong" key={f.text}><Icon name="alert" />{faultWords(f.text)}</p>)}
						{writable && <div class="row"><Button label={text.change} size="small" onClick={() => ruleForm(r, () => policy, write)} /><Button label={text.removeRule} size="small" kind="quiet" onClick={() => { write(dropRule(policy, r)); toast(text.removedRule, () => write(policy)); }} /></div>}
					</li>
				);
			})}</ol> : <p class="pad muted">{text.noRules}</p>}
			{writable && <p class="pad"><Button label={text.addRule} icon="plus" onClick={add} /></p>}
		</div>
	);
}

/** The rule under the cursor as a form, which writes back into the same text. */
function asForm(editor: Editor): void {
	const rule = ruleAt(editor.get(), editor.cursor());
	if (rule) ruleForm(rule, () => editor.get(), words => editor.set(words));
}
function ruleForm(rule: Rule, read: () => string, put: (policy: string) => void, title = text.formTitle): void {
	const src = signal(rule.src.join(', ')), dst = signal(rule.dst.join(', ')), ports = signal(rule.ports.join(', ')), list = (s: string) => s.split(/[,\s]+/).filter(Boolean);
	const thirds = { grants: ['Ports', 'Like tcp:443, udp:53 or * for all.', 'ip'], ssh: ['May log in as', 'Like root, autogroup:nonroot or a name.', 'users'], acls: ['', '', ''] }[rule.section];
	openForm({
		title, submit: text.writeBack, ready: () => list(src.value).length > 0 && list(dst.value).length > 0,
		body: () => (
			<>
				<Field label="From" help="People, groups, tags, autogroups, hosts or addresses, with commas.">{ids => <input class="input code" {...ids} data-autofocus value={src.value} onInput={e => { src.value = e.currentTarget.value; }} />}</Field>
				<Field label="To" help={rule.section === 'acls' ? 'Each with its ports: tag:prod:443.' : undefined}>{ids => <input class="input code" {...ids} value={dst.value} onInput={e => { dst.value = e.currentTarget.value; }} />}</Field>
				{thirds[0] && <Field label={thirds[0]} help={thirds[1]}>{ids => <input class="input code" {...ids} value={ports.value} onInput={e => { ports.value = e.currentTarget.value; }} />}</Field>}
			</>),
		run: async () => {
			let out = read();
			const write = (key: string, values: string[], old: string[]) => { const r = ruleAt(out, rule.from + 1); if (r && values.join() !== old.join() && key) out = setList(out, r, key, values); };
			write('src', list(src.value), rule.src);
			write('dst', list(dst.value), rule.dst);
			write(thirds[2]!, list(ports.value), rule.ports);
			put(out);
		},
	});
}

/** Text beside meaning, a message, and what would lock somebody out. */
function Review({ close }: { close: () => void }) {
	const [note, setNote] = useState(''), [typed, setTyped] = useState(''), [busy, setBusy] = useState(false), [error, setError] = useState<unknown>(null);
	const policy = draftText.value, p = preview.value;
	if (policy === null || !p) return <Dialog title={text.reviewTitle} onClose={close}><p class="muted">{text.same}</p><div class="toolbar"><span class="push" /><Button label="Close" onClick={close} /></div></Dialog>;
	const name = tailnetName(), lockout = p.lockout.length > 0, off = lockout && typed !== name;
	const save = () => {
		setBusy(true);
		setError(null);
		put<Version>('/policy', { policy, note: note.trim(), base: draftBase.value || undefined, force: lockout || undefined }).then(async v => {
			close();
			await saved({ ...v, policy: v.policy ?? policy });
			toast(<>{text.saved(v.version)}</>, () => post('/policy/rollback', { version: v.version - 1, note: `Undo of version ${v.version}` }).then(() => load()));
		}, (e: unknown) => {
			setError(e);
			const c = e instanceof ApiError && e.status === 409 ? e.body.conflict as { version: number; author: string } | undefined : undefined;
			if (c) { conflict.value = c; close(); }
		}).finally(() => setBusy(false));
	};
	return (
		<Dialog title={text.reviewTitle} onClose={close} wide>
			<div class="card"><header><h3>{text.changes}</h3><Tally changes={p.changes} /></header><Effect changes={p.changes} hidden={p.hidden} most={4} /><Receivers machines={p.machines} /></div>
			<div class="card"><Diff before={inForce.value!.policy} after={policy} context={1} /></div>
			{p.lockout.map(l => <Notice key={l.kind} tone="danger">{l.text}</Notice>)}
			{lockout && <Field label={<>Type <b>{name}</b> to save it all the same</>}>{ids => <input class="input" {...ids} autocomplete="off" value={typed} onInput={e => setTyped(e.currentTarget.value)} />}</Field>}
			<Field label={text.message} help={text.messageHelp}>{ids => <input class="input" {...ids} data-autofocus maxLength={200} value={note} onInput={e => setNote(e.currentTarget.value)} onKeyDown={e => { if (e.key === 'Enter' && !off && !busy) save(); }} />}</Field>
			<Wrong error={error} />
			<div class="toolbar"><span class="push" /><Button label="Keep editing" onClick={close} /><Button kind={lockout ? 'danger' : 'primary'} label={text.save(p.base.version + 1)} busy={busy} disabled={off} onClick={save} /></div>
		</Dialog>
	);
}
