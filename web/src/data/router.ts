// The address bar is the state: page, view, filter, sort, open drawer.
import { signal } from '@preact/signals';

export const BASE = '/console';
export type Place = { path: string; query: URLSearchParams; hash: string };

const read = (): Place => ({ path: location.pathname.slice(BASE.length).replace(/\/$/, '') || '/', query: new URLSearchParams(location.search), hash: location.hash.slice(1) });
export const place = signal<Place>(read());

/** `to`: '/machines?q=x', below the console's base. */
export function go(to: string, how: { replace?: boolean } = {}): void {
	const url = to.startsWith(BASE) ? to : BASE + to;
	if (how.replace) history.replaceState(null, '', url); else if (url !== location.pathname + location.search) history.pushState(null, '', url);
	const before = place.value.path;
	place.value = read();
	if (place.value.path !== before) window.scrollTo(0, 0);
}
export const href = (to: string): string => BASE + to;

/** The address with these query parameters changed; '' or null removes one. */
export function withQuery(changes: Record<string, string | null | undefined>): string {
	const query = new URLSearchParams(place.value.query);
	for (const [key, value] of Object.entries(changes)) if (value) query.set(key, value); else query.delete(key);
	const text = query.toString().replaceAll('%3A', ':').replaceAll('%2F', '/');
	return BASE + place.value.path + (text ? `?${text}` : '');
}
export const setQuery = (changes: Record<string, string | null | undefined>, how: { replace?: boolean } = { replace: true }): void => go(withQuery(changes), how);

export function startRouter(): void {
	addEventListener('popstate', () => { place.value = read(); });
	document.addEventListener('click', event => {
		if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
		const link = (event.target as Element).closest?.('a');
		if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin || !link.pathname.startsWith(`${BASE}/`)) return;
		event.preventDefault();
		go(link.pathname + link.search + link.hash);
	});
}

export { match } from './route-match';
