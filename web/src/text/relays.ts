export const text = {
	title: 'Relays',
	add: 'Add a relay',
	works: 'Works', avoid: 'Not chosen by machines', silent: 'No machine measures it',
	own: 'this server',
	none: 'No relays', noneText: 'Machines that cannot reach each other directly need one. Turn the relay of this server on in config.toml.',
	noUdp: 'Everything through a relay', noUdpText: 'Machines whose network blocks UDP: they never get a direct path.',
	noUdpNone: 'None. Every online machine that has measured its network can try direct paths.',
	addTitle: 'Add a relay',
	addText: 'Install fairlead-derp on a machine with a public address and start it there:',
	joinText: 'Then put it on the map of this server. Machines hear of it at once.',
	joinKey: 'API key that may change the network’s settings',
	crumb: 'Relays', gone: 'There is no such region',
};
