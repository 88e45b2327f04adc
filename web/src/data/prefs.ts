// What one browser remembers: theme, columns, saved views, whether single keys work.
import { signal, type Signal } from '@preact/signals';

function stored<T>(key: string, first: T): Signal<T> {
	let value = first;
	try { const text = localStorage.getItem(`fairlead.${key}`); if (text !== null) value = JSON.parse(text) as T; } catch { /* as if nothing was stored */ }
	const s = signal(value);
	let began = false;
	s.subscribe(v => { if (began) try { localStorage.setItem(`fairlead.${key}`, JSON.stringify(v)); } catch { /* a private window keeps nothing */ } began = true; });
	return s;
}

export type Theme = 'system' | 'light' | 'dark';
export const theme = stored<Theme>('theme', 'system');
export const singleKeys = stored('keys', true);
export const savedViews = stored<{ name: string; query: string }[]>('views.machines', []);
export const columns = stored<string[]>('columns.machines', ['address', 'owner', 'facts', 'client', 'day', 'seen']);
export const recent = stored<string[]>('palette', []);

export function startTheme(): void {
	theme.subscribe(value => { if (value === 'system') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = value; });
}
