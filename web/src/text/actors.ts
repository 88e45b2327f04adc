// Who did something, as the log and the policy's versions write it: "cli:root", "apikey:PREFIX", "node:5", a person's name.
export function actorWords(actor: string): string {
	const [kind, name = ''] = actor.split(/:(.*)/s);
	switch (kind) {
		case '': return 'Fairlead';
		case 'cli': return name.startsWith('uid-') ? `User ${name.slice(4)}, on the server` : `${name}, on the server`;
		case 'apikey': return `API key ${name}`;
		case 'oauthtoken': return `OAuth token ${name}`;
		case 'authkey': return `Auth key ${name}`;
		case 'user': return name;
		case 'node': case 'machine': return `Machine ${name}`;
		case 'file': return 'The policy file';
		default: return actor;
	}
}
