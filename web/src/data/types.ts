// What the API answers, as the pages use it.
export type Role = 'owner' | 'admin' | 'network-admin' | 'it-admin' | 'auditor' | 'billing-admin' | 'member';
export type Scope = 'devices:core' | 'devices:routes' | 'devices:posture_attributes' | 'auth_keys' | 'oauth_keys' | 'api_access_tokens' | 'policy_file' | 'dns' | 'users'
	| 'account_settings' | 'feature_settings' | 'networking_settings' | 'logs:configuration' | 'logs:network' | 'services' | 'webhooks' | 'all';

export type Me = {
	by: string;
	user: { id: string; name: string; displayName: string; email: string; picture: string; role: Role } | null;
	may: Partial<Record<Scope, 'read' | 'write'>>;
	csrf: string;
	session: { id: string; signedInMs: number; expiresMs: number } | null;
	tailnet: { id: string; name: string; domain: string };
	server: { version: string; url: string; startedMs: number };
	policyInFile: string;
	firstRun: { done: boolean; owner: boolean; machines: number };
	lastEvent: string;
};

export const FLAG = {
	online: 1, expired: 2, ephemeral: 4, waits: 8, noExpiry: 16, ssh: 32, exitOffered: 64, exitApproved: 128, subnets: 256, routesWait: 512,
	ownerSuspended: 1024, lockedOut: 2048, expiresSoon: 4096,
} as const;

type RowCommon = {
	id: string; name: string; host: string; v4: string; v6: string; tags: string[]; flags: number; seenMs: number; createdMs: number; expiresMs: number;
	relay: number; routes: string[]; approved: string[]; presence: number[];
};
/** A row of GET /machines/{id} and of every action's answer. */
export type MachineRow = RowCommon & { user: string; os: string; osVersion: string; version: string };
export type Owner = { id: string; name: string; displayName: string; picture: string };

export type MachineColumns = {
	nowMs: number; lastEvent: string; n: number; newest: string; strings: string[]; owners: Owner[];
	columns: { [K in keyof RowCommon]: RowCommon[K][] } & { user: number[]; os: number[]; osVersion: number[]; version: number[] };
};

export type MachineDetail = {
	nodeKey: string; machineKey: string; discoKey: string; capver: number; method: string; authKey: { id: string; prefix: string; description: string } | null;
	owner: (Owner & { email: string; role: Role }) | null; formerOwner: string; endpoints: string[]; exitOffered: boolean; exitApproved: boolean;
	routes: { prefix: string; announced: boolean; approved: boolean; carries: boolean; others: { id: string; name: string; online: boolean; carries: boolean }[] }[];
	net: {
		asOfMs: number; udp: boolean | null; mappingVaries: boolean | null; ipv6: boolean | null; ipv6Os: boolean | null; hairPin: boolean | null; portMapping: string;
		relay: number; linkType: string; latencies: { region: number; ms: number; family: number }[];
	};
	host: {
		os: string; osVersion: string; distro: string; distroVersion: string; deviceModel: string; goArch: string; cloud: string; container: boolean | null; desktop: boolean | null;
		shieldsUp: boolean; ssh: boolean; services: { proto: string; port: number; description: string }[]; requestTags: string[];
	};
	presence7d: number[]; attributes: { name: string; value: unknown; setAt: string | null; expiry: string | null }[]; services: string[]; refusal: { text: string; atMs: number };
};

export type Area = 'machines' | 'users' | 'access' | 'routes' | 'relays' | 'keys' | 'settings';
export type AttentionItem = {
	id: string; kind: string; area: Area; level: 'act' | 'broken'; sinceMs: number; machine: string; user: string; prefix: string; key: string; text: string;
};
export type Attention = { counts: Record<Area, number>; items: AttentionItem[] };

export type Change = { kind: string; id: string; action: 'create' | 'update' | 'delete' | 'online' | 'offline' | 'report'; atMs?: number };
export type Frame = { changes: Change[]; attention?: boolean };

export type AuditRecord = {
	id: string; group: string; time: string; via: string; actor: string; address: string; action: string; kind: string; targetId: string; target: string; before: unknown; after: unknown;
};
export type Region = {
	id: number; code: string; name: string; own: boolean; hosts: { name: string; host: string; v4: string; v6: string; port: number; stunPort: number }[];
	home: number; homeOnline: number; latency: { n: number; p50: number; p95: number; max: number } | null; avoid: boolean;
};
