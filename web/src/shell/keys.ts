// Keys that work everywhere. A page adds its own with useKeys; single letters can be turned off (WCAG 2.1.4).
import { useEffect, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import { dialogOpen } from '../components/overlays';
import { singleKeys } from '../data/prefs';
import { go } from '../data/router';

type Handler = (event: KeyboardEvent) => void;
const stack: { current: Record<string, Handler> }[] = [];
export const paletteOpen = signal(false);
export const helpOpen = signal(false);

const PLACES: Record<string, string> = { m: '/machines', u: '/users', a: '/access', k: '/keys/auth', r: '/routes', d: '/dns', e: '/relays', l: '/logs/changes', s: '/settings/general' };

/** While the component is shown: { 'a': approve, 'Enter': open, 'Escape': close }. Not called while somebody types. */
export function useKeys(keys: Record<string, Handler>): void {
	const ref = useRef(keys);
	ref.current = keys;
	useEffect(() => {
		stack.push(ref);
		return () => { stack.splice(stack.indexOf(ref), 1); };
	}, []);
}

export const typing = (target: EventTarget | null): boolean => target instanceof HTMLElement && (target.isContentEditable || target.shadowRoot !== null || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && (target as HTMLInputElement).type !== 'checkbox');

export function startKeys(): void {
	let going = 0;
	document.addEventListener('keydown', event => {
		if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === 'k' && !event.shiftKey && !event.altKey) {
			event.preventDefault();
			paletteOpen.value = !paletteOpen.value;
			return;
		}
		if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || dialogOpen() || document.querySelector('[popover]:popover-open')) return;
		const writing = typing(event.target);
		if (event.key === 'Escape' || !writing) {
			const single = event.key.length === 1;
			if (single && !singleKeys.value) return;
			if (Date.now() - going < 1200 && PLACES[event.key]) { going = 0; event.preventDefault(); go(PLACES[event.key]!); return; }
			if (single && event.key === 'g') { going = Date.now(); return; }
			if (event.key === '/') {
				const field = document.querySelector<HTMLInputElement>('main input[type=search]');
				if (field) { event.preventDefault(); field.focus(); field.select(); }
				return;
			}
			if (event.key === '?') { helpOpen.value = true; return; }
			if (['Enter', ' '].includes(event.key) && (event.target as Element).closest?.('button, a, summary, input, [role=option]')) return;
			for (let i = stack.length - 1; i >= 0; i--) {
				const handler = stack[i]!.current[event.key];
				if (handler) { event.preventDefault(); handler(event); return; }
			}
		}
	});
}
export const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
export const commandKey = isMac ? '⌘' : 'Ctrl ';
