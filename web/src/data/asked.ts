import { useEffect, useState } from 'preact/hooks';
import { ApiError, post } from './api';
import { onChanges } from './store';

/** Asks by POST, again when the question, the policy or the machines change. */
export function useAsked<T>(path: string, body: Record<string, unknown> | null): { data: T | undefined; error: ApiError | undefined; again: () => void } {
	const key = JSON.stringify(body), [state, set] = useState<{ data?: T; error?: ApiError }>({}), [turn, next] = useState(0);
	useEffect(() => onChanges(['policy', 'machine'], changes => { if (changes.some(c => c.kind !== 'machine' || c.action === 'create' || c.action === 'delete' || c.action === 'update')) next(n => n + 1); }), []);
	useEffect(() => {
		if (!body) return;
		const abort = new AbortController();
		const timer = setTimeout(() => void post<T>(path, body, abort.signal).then(data => set({ data }), (e: unknown) => { if (!abort.signal.aborted) set(s => ({ ...s, error: e instanceof ApiError ? e : new ApiError(String(e), 0) })); }), turn ? 400 : 0);
		return () => { clearTimeout(timer); abort.abort(); };
	}, [path, key, turn]);
	return { ...state, again: () => next(n => n + 1) } as { data: T | undefined; error: ApiError | undefined; again: () => void };
}
