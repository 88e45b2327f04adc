// The native API as the pages call it. Every failure is an ApiError whose message is a sentence for a person.
export type ApiFault = { message?: string; text?: string; line?: number; column?: number };

export class ApiError extends Error {
	constructor(message: string, readonly status: number, readonly requestId = '', readonly retryAfter = 0, readonly body: Record<string, unknown> = {}) {
		super(message);
	}
	get errors(): ApiFault[] { return Array.isArray(this.body.errors) ? this.body.errors as ApiFault[] : []; }
}

const BASE = '/api/fairlead/v1';
let csrf = '';
export const setCsrf = (token: string): void => { csrf = token; };

const KEPT_ALIVE = 60_000; // bytes: what a browser lets a request carry that outlives its page
let leaving = false;
function leave(to: string): Promise<never> {
	if (!leaving) {
		leaving = true;
		location.assign(to);
	}
	return new Promise(() => { /* the page is going away */ });
}

async function failure(response: Response): Promise<ApiError> {
	const id = response.headers.get('X-Request-Id') ?? '', wait = Number(response.headers.get('Retry-After')) || 0;
	let body: Record<string, unknown> = {};
	try { body = await response.json() as Record<string, unknown>; } catch { /* a proxy's page: the status says enough */ }
	const said = typeof body.message === 'string' && body.message ? body.message : `The server answered ${response.status}.`;
	return new ApiError(said, response.status, id, wait, body);
}

async function call(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
	const headers: Record<string, string> = { Accept: 'application/json' };
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	if (method !== 'GET') headers['X-Fairlead-CSRF'] = csrf;
	let response: Response;
	try {
		response = await fetch(BASE + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, credentials: 'same-origin',
			keepalive: method === 'PUT' && JSON.stringify(body).length < KEPT_ALIVE });
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new ApiError('The server cannot be reached.', 0);
	}
	if (response.status === 401) return leave(`/login?to=${encodeURIComponent(location.pathname + location.search)}`);
	if (!response.ok) throw await failure(response);
	return response;
}

const json = async <T>(response: Promise<Response>): Promise<T> => await (await response).json() as T;

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => json<T>(call('GET', path, undefined, signal));
export const post = <T = unknown>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> => json<T>(call('POST', path, body, signal));
export const put = <T = unknown>(path: string, body: unknown): Promise<T> => json<T>(call('PUT', path, body));
export const patch = <T = unknown>(path: string, body: unknown): Promise<T> => json<T>(call('PATCH', path, body));
export const del = <T = unknown>(path: string, body?: unknown): Promise<T> => json<T>(call('DELETE', path, body));
export const apiUrl = (path: string): string => BASE + path;
export { leave };

/** '?a=b' of what is set, or ''. */
export function query(values: Record<string, string | number | undefined | null>): string {
	const out = new URLSearchParams();
	for (const [key, value] of Object.entries(values)) if (value !== undefined && value !== null && value !== '') out.set(key, String(value));
	const text = out.toString();
	return text ? `?${text}` : '';
}
