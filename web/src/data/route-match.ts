/** '/machines/:id' against '/machines/5'. */
export function match(pattern: string, path: string): Record<string, string> | null {
	const want = pattern.split('/'), have = path.split('/');
	if (want[want.length - 1] === '*' ? have.length < want.length - 1 : want.length !== have.length) return null;
	const params: Record<string, string> = {};
	for (let i = 0; i < want.length; i++) {
		if (want[i] === '*') { params.rest = have.slice(i).join('/'); return params; }
		if (want[i]!.startsWith(':')) params[want[i]!.slice(1)] = decodeURIComponent(have[i]!);
		else if (want[i] !== have[i]) return null;
	}
	return params;
}
