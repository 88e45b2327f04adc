// The one draft of this person: kept by the server, shared by the tabs of this page.
import { signal } from '@preact/signals';
import { ApiError, del, get, post, put } from '../../data/api';
import type { Draft, Preview, Version } from '../../data/policy';

export const inForce = signal<Version | null>(null);
export const draftText = signal<string | null>(null);       // null: no draft
export const draftBase = signal(0);
export const conflict = signal<{ version: number; author: string } | null>(null);
export const preview = signal<Preview | null>(null);
export const previewError = signal('');
export const loadError = signal<ApiError | null>(null);

const empty: Version = { version: 0, author: '', note: '', createdAt: null, policy: '' };

export async function load(): Promise<void> {
	try {
		const [now, mine] = await Promise.all([get<Version>('/policy').catch((e: unknown) => { if (e instanceof ApiError && e.status === 404) return empty; throw e; }),
			get<Draft>('/policy/draft').catch((e: unknown) => { if (e instanceof ApiError && (e.status === 404 || e.status === 403)) return null; throw e; })]);
		inForce.value = now;
		loadError.value = null;
		if (mine && mine.policy !== now.policy) {
			draftText.value = mine.policy;
			draftBase.value = mine.base;
			conflict.value = mine.conflict;
			ask(0);
		} else { draftText.value = null; draftBase.value = now.version; conflict.value = null; preview.value = null; }
	} catch (e) { loadError.value = e instanceof ApiError ? e : new ApiError(String(e), 0); }
}

/** Somebody saved a version: taken over if there is no draft, else a conflict to look at. */
export async function look(): Promise<void> {
	const now = await get<Version>('/policy').catch(() => null);
	if (!now || now.version === inForce.value?.version) return;
	inForce.value = now;
	if (draftText.value === null || draftText.value === now.policy) { draftText.value = null; draftBase.value = now.version; conflict.value = null; preview.value = null; }
	else { if (now.version !== draftBase.value) conflict.value = { version: now.version, author: now.author }; ask(0); }
}

const PREVIEW_MS = 250, KEEP_MS = 1200;
let previewTimer = 0, keepTimer = 0, turn = 0, abort: AbortController | null = null;

export function ask(after = PREVIEW_MS): void {
	clearTimeout(previewTimer);
	previewTimer = window.setTimeout(() => {
		const policy = draftText.value, mine = ++turn;
		abort?.abort();
		if (policy === null) { preview.value = null; return; }
		abort = new AbortController();
		post<Preview>('/policy/preview', { policy, base: draftBase.value || undefined }, abort.signal).then(p => {
			if (mine !== turn) return;
			preview.value = p;
			previewError.value = '';
		}, (e: unknown) => {
			if (mine !== turn || (e instanceof DOMException && e.name === 'AbortError')) return;
			previewError.value = e instanceof Error ? e.message : String(e);
			if (e instanceof ApiError && (e.status === 503 || e.status === 429)) ask(Math.max(1000, e.retryAfter * 1000));
		});
	}, after);
}

export function changed(policy: string): void {
	if (policy === inForce.value?.policy) { draftText.value = null; draftBase.value = inForce.value.version; conflict.value = null; preview.value = null; abort?.abort(); turn++; }
	else { if (draftText.value === null) draftBase.value = inForce.value?.version ?? 0; draftText.value = policy; ask(); }
	clearTimeout(keepTimer);
	keepTimer = window.setTimeout(keep, KEEP_MS);
}
function keep(): void {
	const policy = draftText.value;
	keepTimer = 0;
	void (policy === null ? del('/policy/draft') : put('/policy/draft', { policy, base: draftBase.value || undefined })).catch(() => { /* kept in this tab; the next change tries again */ });
}
// A page that goes away keeps what was just typed: requests of ours outlive it (keepalive).
addEventListener('pagehide', () => { if (keepTimer) { clearTimeout(keepTimer); keep(); } });

export async function discard(): Promise<void> {
	clearTimeout(keepTimer);
	keepTimer = 0;
	draftText.value = null;
	preview.value = null;
	conflict.value = null;
	draftBase.value = inForce.value?.version ?? 0;
	await del('/policy/draft').catch(() => undefined);
}
/** Another text as the draft: of a merge, a restored version, a rule from a question. */
export function take(policy: string, base: number): void {
	draftBase.value = base;
	conflict.value = null;
	changed(policy);
	if (draftText.value !== null) draftBase.value = base;
}
export async function saved(version: Version): Promise<void> {
	inForce.value = version;
	await discard();
}
