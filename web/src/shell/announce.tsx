// Live changes for screen readers: politely, at most one message each five seconds, the newest wins.
import { signal } from '@preact/signals';

const said = signal('');
const LEAST_MS = 5_000;
let last = 0, timer = 0, next = '';

export function announce(words: string): void {
	next = words;
	if (timer) return;
	timer = window.setTimeout(() => { timer = 0; last = Date.now(); said.value = next; }, Math.max(0, last + LEAST_MS - Date.now()));
}
export const Announcer = () => <div class="visually-hidden" aria-live="polite">{said.value}</div>;
