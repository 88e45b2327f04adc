export type System = 'linux' | 'macos' | 'windows' | 'ios' | 'android';
export const add = {
	title: 'Add a machine',
	first: 'Connect your first machine',
	firstMore: 'About two minutes',
	system: 'System',
	systems: { linux: 'Linux', macos: 'macOS', windows: 'Windows', ios: 'iPhone, iPad', android: 'Android' } satisfies Record<System, string>,
	install: {
		linux: 'Install Tailscale, if it is not there yet.', macos: 'Install Tailscale from tailscale.com/download, if it is not there yet.', windows: 'Install Tailscale from tailscale.com/download, if it is not there yet.',
		ios: 'Install Tailscale from the App Store.', android: 'Install Tailscale from Google Play or F-Droid.',
	} satisfies Record<System, string>,
	installCommand: { linux: 'curl -fsSL https://tailscale.com/install.sh | sh' } as Partial<Record<System, string>>,
	point: 'Point it at your server. It prints a link; open it to say that the machine is yours.',
	pointPhone: {
		ios: 'In the app: your account at the top, Log in…, the menu ⋯, Use custom coordination server. Give it this address:',
		android: 'In the app: Settings, Accounts, the menu ⋮, Use an alternate server. Give it this address:',
	},
	waiting: 'Waiting for the machine. It appears here by itself.',
	joined: (name: string) => `${name} has joined.`,
	waits: 'It waits for approval before it can reach others.',
	approve: 'Approve', open: 'Open it', done: 'Done', close: 'Close',
	qr: 'On a phone? Scan this for the server’s address.',
	qrLabel: (url: string) => `QR code for ${url}`,
	unattended: 'For a server or many machines at once:',
	createKey: 'create an auth key',
};
