import type { Role } from '../data/types';

export const ROLES: { role: Role; text: string; may: string }[] = [
	{ role: 'owner', text: 'Owner', may: 'Everything, and only an owner can change owners.' },
	{ role: 'admin', text: 'Admin', may: 'Everything but changing owners.' },
	{ role: 'network-admin', text: 'Network admin', may: 'The access policy, routes, DNS and relays. Looks at the rest.' },
	{ role: 'it-admin', text: 'IT admin', may: 'Machines, people and keys. Looks at the rest.' },
	{ role: 'auditor', text: 'Auditor', may: 'Looks at everything, changes nothing.' },
	{ role: 'billing-admin', text: 'Billing admin', may: 'Nothing in this console.' },
	{ role: 'member', text: 'Member', may: 'Own machines only, on the page My devices.' },
];
export const roleWords = (role: string): string => ROLES.find(r => r.role === role)?.text ?? role;

export const text = {
	title: 'Users',
	invite: 'Invite',
	views: { '': 'All', attention: 'Needs attention', admins: 'Admins', suspended: 'Suspended' } as Record<string, string>,
	invites: 'Invites',
	viewsLabel: 'Views',
	filter: 'Filter people',
	hint: 'Name, address, or role:auditor',
	noMatch: (words: string) => `Nobody matches “${words}”`,
	noMatchText: 'Names, addresses and groups are looked at, and role:, state: and group: narrow.',
	clear: 'Clear the filter',
	nobody: { attention: 'Nobody waits for approval', suspended: 'Nobody is suspended', admins: 'Nobody is an admin' } as Record<string, string>,
	nobodyText: { attention: 'Who signs in for the first time is listed here while the setting for it is on.' } as Record<string, string>,
	onlyYou: 'Only you so far.',
	onlyYouText: 'Invite somebody by link, or connect an identity provider so that people can sign in by themselves.',
	provider: 'Connect an identity provider',
	waits: 'Waits for approval', suspended: 'Suspended', active: 'Active',
	approve: 'Approve',
	changeRole: 'Change role…', suspend: 'Suspend…', restore: 'Restore', signOut: 'Sign out everywhere…', rename: 'Rename…', remove: 'Delete…',
	noInvites: 'No invite is open',
	noInvitesText: 'An invite is a link that lets one person in once, with the role that you choose.',
	gone: 'This person is not here',
	goneText: 'They were removed, or never existed. What happened is in the log.',
	crumb: 'Users',
};
