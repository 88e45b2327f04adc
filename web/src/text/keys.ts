export const text = {
	title: 'Keys',
	tabs: { auth: 'Auth keys', api: 'API keys', oauth: 'OAuth clients' } as Record<Kind, string>,
	create: { auth: 'Create auth key', api: 'Create API key', oauth: 'Create OAuth client' } as Record<Kind, string>,
	none: { auth: 'No auth keys', api: 'No API keys', oauth: 'No OAuth clients' } as Record<Kind, string>,
	noneText: {
		auth: 'An auth key adds machines without anybody signing in: servers, containers, runners.',
		api: 'An API key lets a program do what you can do, or less.',
		oauth: 'An OAuth client gets short-lived keys for itself. Terraform and CI like it.',
	} as Record<Kind, string>,
	ended: 'Ended', used: 'Used up', revoked: 'Revoked', expired: 'Expired',
	showEnded: 'Show ended keys', hideEnded: 'Hide ended keys',
};
export type Kind = 'auth' | 'api' | 'oauth';

/** The scopes that can be given, in words. */
export const SCOPES: [string, string][] = [
	['devices:core', 'Machines'], ['devices:routes', 'Routes of machines'], ['devices:posture_attributes', 'Attributes of machines'], ['auth_keys', 'Auth keys'], ['oauth_keys', 'OAuth clients'],
	['api_access_tokens', 'API keys'], ['policy_file', 'Access policy'], ['dns', 'DNS'], ['users', 'People'], ['feature_settings', 'Settings of features'], ['account_settings', 'Settings of the account'],
	['networking_settings', 'Settings of the network'], ['logs:configuration', 'Log of changes'], ['services', 'Services'], ['webhooks', 'Webhooks'],
];
export const scopeWords = (scope: string): string => {
	const read = scope.endsWith(':read'), bare = read ? scope.slice(0, -5) : scope;
	if (bare === 'all') return read ? 'Looks at everything' : 'Everything';
	const words = SCOPES.find(s => s[0] === bare)?.[1] ?? bare;
	return read ? `${words}, to look at` : words;
};
