// Keys as GET /keys answers them, and what a new auth key would do, in a sentence. No DOM.
export type State = 'active' | 'used' | 'expired' | 'revoked';
export type AuthKey = { id: string; prefix: string; description: string; user: string; tags: string[]; reusable: boolean; ephemeral: boolean; preauthorized: boolean; used: boolean; machines?: number; lastUsedMs?: number; state: State; createdMs: number; expiresMs: number };
export type ApiKey = { id: string; prefix: string; description: string; user: string; scopes: string[]; createdMs: number; expiresMs: number; seenMs: number; state: State };
export type OauthClient = { id: string; prefix: string; description: string; scopes: string[]; tags: string[]; createdMs: number; seenMs: number; state: State };
export type KeysAnswer = { auth?: AuthKey[]; api?: ApiKey[]; oauth?: OauthClient[] };

export type NewAuthKey = { reusable: boolean; ephemeral: boolean; preauthorized: boolean; tags: string[]; owner: string };
/** "Machines added with this key are tag:ci, approved at once, and removed after they have been away for a while." */
export function whatItAdds(k: NewAuthKey): string {
	const subject = k.reusable ? 'Machines added with this key' : 'The one machine added with this key', are = k.reusable ? 'are' : 'is', belong = k.reusable ? 'belong' : 'belongs';
	const parts = [k.tags.length ? `${are} ${k.tags.join(', ')} and ${belong} to nobody` : `${belong} to ${k.owner || 'you'}`];
	if (k.preauthorized) parts.push(`${are} approved at once`);
	if (k.ephemeral) parts.push(`${are} removed some time after leaving`);
	return `${subject} ${parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}` : parts[0]}.`;
}
