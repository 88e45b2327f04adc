// One event stream per browser, not per tab: HTTP/1.1 allows six connections a host. Tabs elect a leader by Web Locks; it reads the stream and
// tells the others by BroadcastChannel. Where either is missing (an insecure origin has no Web Locks), each tab reads for itself.
import { signal } from '@preact/signals';
import { apiUrl, leave } from './api';
import { again, receive, resync } from './store';
import type { Frame } from './types';

export type LiveState = 'starting' | 'live' | 'reconnecting' | 'offline' | 'stopped';
export const live = signal<LiveState>('starting');
export const silentSince = signal(0);

const SILENT_MS = 25_000;   // the server sends a comment every 15 s
const STOPPED_MS = 40_000;
const CHECK_MS = 5_000;

type Message = { kind: 'frame'; data: Frame } | { kind: 'resync' } | { kind: 'alive' } | { kind: 'again' } | { kind: 'lost' } | { kind: 'hello' };
let last = Date.now(), hurry: (() => void) | null = null;

/** Does not wait for its turn: somebody asks, or the network is there again. */
export const tryNow = (): void => hurry?.();


function hear(message: Message): void {
	if (message.kind === 'lost') {
		if (live.value === 'live') live.value = navigator.onLine ? 'reconnecting' : 'offline';
		return;
	}
	last = Date.now();
	if (live.value !== 'live') {
		const missed = live.value !== 'starting';
		live.value = 'live';
		silentSince.value = 0;
		if (missed && message.kind === 'alive') resync();
	}
	if (message.kind === 'frame') receive(message.data.changes, message.data.attention === true);
	else if (message.kind === 'resync') resync();
	else if (message.kind === 'again') again();
}

/** Reads the stream until it ends; EventSource hides the comments that tell that the line still works, fetch shows them. */
async function read(after: { id: string }, first: boolean, tell: (message: Message) => void, abort: AbortSignal): Promise<void> {
	const headers: Record<string, string> = { Accept: 'text/event-stream' };
	if (after.id) headers['Last-Event-ID'] = after.id;
	const response = await fetch(apiUrl('/events?view=console'), { headers, signal: abort, credentials: 'same-origin', cache: 'no-store' });
	if (response.status === 401) { void leave(`/login?to=${encodeURIComponent(location.pathname + location.search)}`); return; }
	if (response.status === 403) tell({ kind: 'again' }); // a role that may not look any more: the page says so
	if (!response.ok || !response.body) throw new Error(`events: ${response.status}`);
	tell({ kind: 'alive' });
	if (!first) tell({ kind: 'again' });
	const reader = response.body.getReader(), decoder = new TextDecoder();
	let text = '';
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		text += decoder.decode(value, { stream: true });
		const blocks = text.split('\n\n');
		text = blocks.pop()!;
		for (const block of blocks) {
			let event = 'message', data = '', id = '';
			for (const line of block.split('\n')) {
				if (line.startsWith('event:')) event = line.slice(6).trim();
				else if (line.startsWith('data:')) data += line.slice(5).trim();
				else if (line.startsWith('id:')) id = line.slice(3).trim();
			}
			if (id) after.id = id;
			if (event === 'resync') tell({ kind: 'resync' });
			else if (event === 'change' && data) tell({ kind: 'frame', data: JSON.parse(data) as Frame });
			else tell({ kind: 'alive' });
		}
	}
}

async function lead(after: { id: string }, tell: (message: Message) => void, stop: AbortSignal): Promise<void> {
	for (let failures = 0, first = true; !stop.aborted; failures++, first = false) {
		const abort = new AbortController(), end = () => abort.abort();
		stop.addEventListener('abort', end);
		const began = Date.now();
		let heard = Date.now();
		const watch = setInterval(() => { if (Date.now() - heard > SILENT_MS) abort.abort(); }, CHECK_MS);
		try {
			await read(after, first, message => { heard = Date.now(); tell(message); }, abort.signal);
			failures = 0;
		} catch { if (failures > 0) tell({ kind: 'lost' }); }
		clearInterval(watch);
		stop.removeEventListener('abort', end);
		if (Date.now() - began > 10_000) failures = 0;
		await new Promise<void>(done => {
			hurry = done;
			setTimeout(done, Math.min(15_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
		});
		hurry = null;
	}
}

export function startLive(lastEvent: string): () => void {
	const stop = new AbortController(), after = { id: lastEvent };
	const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('fairlead-events');
	let leads = false;
	if (channel) {
		// A tab that opens asks whether somebody listens already, else it would not know before the server's next word.
		channel.onmessage = event => {
			const message = event.data as Message;
			if (message.kind !== 'hello') hear(message);
			else if (leads && live.value === 'live') channel.postMessage({ kind: 'alive' });
		};
		channel.postMessage({ kind: 'hello' });
	}
	const timer = setInterval(() => {
		const silent = Date.now() - last;
		if (silent > STOPPED_MS) live.value = navigator.onLine ? 'stopped' : 'offline';
		else if (silent > SILENT_MS && live.value === 'live') live.value = 'reconnecting';
		if (silent > SILENT_MS) silentSince.value = silent;
	}, CHECK_MS);
	// The browser knows of a network that went away before the line does.
	addEventListener('offline', () => { if (live.value === 'live') live.value = 'offline'; });
	addEventListener('online', () => { if (live.value === 'offline') live.value = 'reconnecting'; tryNow(); });
	if (navigator.locks && channel) {
		void navigator.locks.request('fairlead-events', { signal: stop.signal }, () => { leads = true; return lead(after, message => { hear(message); channel.postMessage(message); }, stop.signal); }).catch(() => { /* stopped */ });
	} else void lead(after, hear, stop.signal);
	return () => { stop.abort(); channel?.close(); clearInterval(timer); };
}
