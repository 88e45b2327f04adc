export const text = {
	title: 'Routes',
	subnets: 'Subnets', exits: 'Exit nodes', attention: 'Needs attention', views: 'Routes',
	filter: 'Filter routes', hint: 'Route, machine, or an address inside a route',
	states: { carries: 'Carries traffic', waits: 'Waits for approval', nobody: 'Nobody is online for it', conflict: 'Overlaps' } as Record<string, string>,
	approve: 'Approve', withdraw: 'Take approval back…',
	none: 'No subnet routes',
	noneText: 'A machine offers one with tailscale up --advertise-routes=10.0.0.0/24. It is listed here then, and waits for your approval.',
	noExits: 'No exit nodes', noExitsText: 'A machine offers to be one with tailscale up --advertise-exit-node.',
	nothing: 'Nothing needs attention', nothingText: 'Routes that wait for approval, and routes that no machine carries, would be listed here.',
	noMatch: (words: string) => `No route matches “${words}”`, clear: 'Clear the filter',
	waitsExit: 'Waits for approval', approvedExit: 'Others may use it', offExit: 'Approved, but offline',
};
