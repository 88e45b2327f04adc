export const text = {
	title: 'Relays',
	add: 'Add a relay',
	works: 'Works', avoid: 'Not chosen by machines', silent: 'No machine measures it',
	own: 'this server',
	none: 'No relays', noneText: 'Machines that cannot reach each other directly need one. Turn the relay of this server on in config.toml.',
	noUdp: 'Everything through a relay', noUdpText: 'Machines whose network blocks UDP: they never get a direct path.',
	noUdpNone: 'None. Every online machine that has measured its network can try direct paths.',
	addTitle: 'Add a relay',
	addText: 'Install fairlead-derp on a machine with a public address, then run this there. It shows the entry for derp.paths or derp.urls; machines hear of the region at once.',
	crumb: 'Relays', gone: 'There is no such region',
};
