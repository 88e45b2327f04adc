export const text = {
	title: 'Settings',
	tabs: { general: 'General', approval: 'Approval and expiry', identity: 'Identity', webhooks: 'Webhooks', backup: 'Backup', health: 'Health', about: 'About' } as Record<string, string>,
	managed: (file: string, line: number) => `The configuration file decides this (${file}${line ? `, line ${line}` : ''}).`,
	reset: 'As in the file', resetTo: (value: string) => `Back to what the configuration file says: ${value}`,
	set: 'Set', changed: (name: string) => `${name} is set`,
	more: 'Others',
	noHooks: 'No webhooks', noHooksText: 'A webhook tells another program at once what happens here: a machine waits, a key expires, the policy changed.',
	addHook: 'Add a webhook',
};

/** A setting's name and what it means, in words. Those that are not here show as the server names them. */
export const WORDS: Record<string, [string, string]> = {
	'node.expiry': ['Keys of machines expire after', 'Counts for machines that people sign in from now on. 0s: never.'],
	'node.ephemeral.inactivity_timeout': ['Ephemeral machines are removed after', 'So long after they went offline.'],
	'devices_approval': ['New machines wait for approval', 'Until an admin approves it, a new machine reaches nobody.'],
	'users_approval': ['New people wait for approval', 'Who signs in for the first time cannot connect machines until an admin approves.'],
	'node.own_attributes': ['Attributes that machines may set themselves', 'For rules of the policy that look at them. * for all.'],
	'contacts.account': ['Who runs this server', 'A mail address; shown to who is refused, where there is none for support.'],
	'contacts.support': ['Whom people ask', 'A mail address; shown to who is refused.'],
	'contacts.security': ['Who hears of weaknesses', 'A mail address; told at /.well-known/security.txt.'],
	'taildrop.enabled': ['Sending files', 'Between machines of one person (Taildrop).'],
	'auto_update.enabled': ['Clients update themselves', 'Those that were not told otherwise on the machine.'],
	'randomize_client_port': ['Random ports', 'Clients choose a random port for WireGuard; for firewalls that hold on to old flows.'],
	'dns.magic_dns': ['MagicDNS', 'Machines are reached by their names.'], 'dns.nameservers.global': ['Nameservers for everything else', ''], 'dns.nameservers.split': ['Nameservers for domains', ''], 'dns.search_domains': ['Search domains', ''],
	'dns.extra_records': ['DNS records', ''], 'dns.override_local_dns': ['The tailnet’s nameservers instead of the machine’s own', ''], 'dns.use_with_exit_node': ['Nameservers while an exit node is in use', ''],
	'dns.base_domain': ['Domain of machines’ names', 'Machines are called NAME.domain. Changing it renames all of them.'],
	'policy.externally_managed': ['The policy is kept elsewhere', 'A key or the command line puts it here; nobody changes it in the console.'],
	'policy.external_link': ['and is found at', 'Told to who tries to change it here.'],
	'node.routes.ha.probe_interval': ['Routers are asked every', 'Only those whose routes another one could take over. 0s: never.'],
	'node.routes.ha.probe_timeout': ['and must answer within', 'Else another router takes over.'],
};
export const GROUPS: [string, string, string[]][] = [
	['general', 'Names', ['dns.base_domain']],
	['general', 'Clients', ['taildrop.enabled', 'auto_update.enabled', 'randomize_client_port', 'node.own_attributes']],
	['general', 'Contacts', ['contacts.account', 'contacts.support', 'contacts.security']],
	['general', 'Policy', ['policy.externally_managed', 'policy.external_link']],
	['general', 'Routers that stand in for each other', ['node.routes.ha.probe_interval', 'node.routes.ha.probe_timeout']],
	['approval', 'Approval', ['devices_approval', 'users_approval']],
	['approval', 'Expiry', ['node.expiry', 'node.ephemeral.inactivity_timeout']],
];
/** Asked before: what this disconnects. */
export const CAREFUL: Record<string, string> = { 'dns.base_domain': 'Every machine gets a new DNS name; the old names stop working.' };

export const EVENTS: [string, string][] = [
	['nodeCreated', 'A machine was added'], ['nodeNeedsApproval', 'A machine waits for approval'], ['nodeApproved', 'A machine was approved'], ['nodeKeyExpiringInOneDay', 'A key expires in a day'], ['nodeKeyExpired', 'A key expired'],
	['nodeDeleted', 'A machine was removed'], ['policyUpdate', 'The access policy changed'], ['userCreated', 'A person was added'], ['userNeedsApproval', 'A person waits for approval'], ['userApproved', 'A person was approved'],
	['userSuspended', 'A person was suspended'], ['userRestored', 'A person was restored'], ['userDeleted', 'A person was removed'], ['userRoleUpdated', 'A role changed'],
];
export const PROVIDERS: [string, string][] = [['', 'Any program (JSON, signed)'], ['slack', 'Slack'], ['discord', 'Discord'], ['mattermost', 'Mattermost'], ['googlechat', 'Google Chat']];
export const backup = {
	title: 'Backups', make: 'Back up now', made: 'Made', notMade: 'No backup was made', holds: 'One file holds everything: machines, people, keys, policy and log. The server goes on while it is made.',
	none: 'No backups yet', noneText: 'Back up before an upgrade, and every night. A backup takes seconds.', verify: 'Verify now', verifying: 'Reading all of it…', unverified: 'Not verified', whole: 'Whole', notVerified: 'Not verified',
	download: 'Download…', secrets: 'The server’s private keys are in it. Whoever has the file can be this server: keep it as safe as the server.', adminsOnly: 'Only an owner or admin may: the server’s private keys are in a backup.',
	where: 'Where they are', cron: 'A copy on the same disk does not help when the disk is lost. Every night, from cron or a systemd timer:', back: 'Going back',
	steps: ['Stop the server.', 'Put the backup in the place of the database: path under [database] in the configuration file. Remove the files beside it that end in -wal and -shm.', 'Start the server. It starts from the copy as it is; machines reconnect by themselves.'],
};
