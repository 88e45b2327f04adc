import type { ComponentChildren } from 'preact';
import type { Resource } from '../data/store';
import { Skeletons } from './basics';
import { Failed } from './overlays';

/** Skeleton, data or what failed; data that is there stays while it is asked for again, also when that fails. */
export function Loaded<T>({ resource, what, rows, children }: { resource: Resource<T>; what: string; rows?: number; children: (data: T) => ComponentChildren }) {
	const { data, error, retryAt, reload } = resource;
	return (
		<>
			{error && <Failed what={what} error={error} retryAt={retryAt} onRetry={reload} />}
			{data !== undefined ? children(data) : !error && <Skeletons rows={rows} />}
		</>
	);
}
