// Settings of the server's one table as rows: what it is left, the control right; it applies at once, with Undo.
import { useEffect, useState } from 'preact/hooks';
import { Button, Card, Icon, Switch } from '../../components/basics';
import { act, openDanger, toast } from '../../components/overlays';
import { ApiError, del, put } from '../../data/api';
import { reason, refresh } from '../../data/store';
import type { Scope } from '../../data/types';
import { CAREFUL, text, WORDS } from '../../text/settings';

export type Setting = { key: string; type: 'bool' | 'int' | 'duration' | 'text' | 'list' | 'json'; value: unknown; fileValue: unknown; isSet: boolean; managedBy: { file: string; line: number } | null; help: string };
const scopeOf = (key: string): Scope => key.startsWith('dns.') ? 'dns' : key.startsWith('node.routes') ? 'networking_settings' : key.startsWith('contacts.') ? 'account_settings' : key.startsWith('policy.') ? 'policy_file' : 'feature_settings';
const shown = (value: unknown): string => Array.isArray(value) ? value.map(String).join(', ') : value === true ? 'on' : value === false ? 'off' : value === '' || value === null || value === undefined ? 'nothing' : String(value);

async function write(key: string, value: unknown): Promise<void> { await put(`/settings/${key}`, { value }); refresh('/settings', '/dns'); }

export function SettingsCard({ title, settings }: { title: string; settings: Setting[] }) {
	return settings.length ? <Card title={title}><div class="settings">{settings.map(s => <Row key={s.key} setting={s} />)}</div></Card> : null;
}

function Row({ setting: s }: { setting: Setting }) {
	const [name, help] = WORDS[s.key] ?? [s.key, s.help.replace(/^./, c => c.toUpperCase())], id = `setting-${s.key}`;
	const off = s.managedBy ? text.managed(s.managedBy.file, s.managedBy.line) : reason(scopeOf(s.key), 'settings');
	const [error, setError] = useState('');
	const save = (value: unknown): Promise<boolean> => {
		const run = () => write(s.key, value), undo = () => s.isSet ? write(s.key, s.value) : del(`/settings/${s.key}`).then(() => refresh('/settings', '/dns'));
		setError('');
		if (CAREFUL[s.key]) {
			openDanger({ title: `Change “${name}”?`, action: 'Change it', effects: [CAREFUL[s.key]!], run, after: () => toast(text.changed(name), undo) });
			return Promise.resolve(true);
		}
		return run().then(() => { toast(text.changed(name), undo); return true; }, (e: unknown) => { setError(e instanceof ApiError ? e.message : String(e)); return false; });
	};
	const wide = s.type === 'list' || s.key.startsWith('contacts.') || s.key === 'dns.base_domain' || s.key === 'policy.external_link';
	return (
		<div class="setting" data-wide={wide || undefined}>
			<label for={id}><b>{name}</b></label>
			<span class="row">
				{s.type === 'bool' ? <Switch id={id} checked={s.value === true} disabled={off !== undefined} title={off} onChange={on => void save(on)} describedBy={`${id}-help`} />
					: <TextControl id={id} setting={s} off={off} wide={wide} save={save} wrong={error !== ''} />}
				{s.isSet && !s.managedBy && <Button label={text.resetTo(shown(s.fileValue))} icon="undo" iconOnly kind="quiet" size="small" reason={off} onClick={() => void act(`${name} is as in the file`, 'Not changed', async () => { await del(`/settings/${s.key}`); refresh('/settings', '/dns'); }, () => write(s.key, s.value))} />}
			</span>
			<p id={`${id}-help`}>{help}{s.managedBy && <> <span class="muted"><Icon name="lock" /> {text.managed(s.managedBy.file, s.managedBy.line)}</span></>}</p>
			{error && <span class="wrong" role="alert"><Icon name="alert" />{error}</span>}
		</div>
	);
}

const asText = (s: Setting): string => Array.isArray(s.value) ? s.value.map(String).join(', ') : s.value === null || s.value === undefined ? '' : String(s.value);
function TextControl({ id, setting: s, off, wide, save, wrong }: { id: string; setting: Setting; off?: string; wide: boolean; save: (value: unknown) => Promise<boolean>; wrong: boolean }) {
	const was = asText(s), [typed, setTyped] = useState(was), [busy, setBusy] = useState(false);
	useEffect(() => setTyped(was), [was]);
	const parse = (words: string): unknown => s.type === 'list' ? words.split(',').map(w => w.trim()).filter(Boolean) : s.type === 'int' && /^-?\d+$/.test(words.trim()) ? Number(words) : words.trim();
	if (off) return <span class="muted" title={off}>{was || 'nothing'}</span>;
	return (
		<form class="row" onSubmit={e => { e.preventDefault(); setBusy(true); void save(parse(typed)).finally(() => setBusy(false)); }}>
			<input class="input" id={id} data-wide={wide || undefined} aria-describedby={`${id}-help`} aria-invalid={wrong || undefined} autocomplete="off" spellcheck={false} value={typed} placeholder={s.type === 'duration' ? '180d' : ''} onInput={e => setTyped(e.currentTarget.value)} />
			{typed !== was && <Button type="submit" label={text.set} size="small" busy={busy} />}
		</form>
	);
}
