// The ten places and who sees them. Pages are loaded when they are first opened.
import type { ComponentType } from 'preact';
import type { IconName } from '../components/icons';
import type { Area, Scope } from '../data/types';

export type PageProps = { params: Record<string, string> };
export type Page = ComponentType<PageProps>;
export type NavItem = { text: string; short?: string; icon: IconName; path: string; under: string; scope: Scope; area?: Area };

export const NAV: { head: string; items: NavItem[] }[] = [
	{ head: '', items: [
		{ text: 'Machines', icon: 'machine', path: '/machines', under: '/machines', scope: 'devices:core', area: 'machines' },
		{ text: 'Users', icon: 'users', path: '/users', under: '/users', scope: 'users', area: 'users' },
	] },
	{ head: 'Access', items: [
		{ text: 'Access controls', short: 'Access', icon: 'access', path: '/access', under: '/access', scope: 'policy_file', area: 'access' },
		{ text: 'Keys', icon: 'key', path: '/keys/auth', under: '/keys', scope: 'auth_keys', area: 'keys' },
	] },
	{ head: 'Network', items: [
		{ text: 'Routes', icon: 'route', path: '/routes', under: '/routes', scope: 'devices:routes', area: 'routes' },
		{ text: 'DNS', icon: 'dns', path: '/dns', under: '/dns', scope: 'dns' },
		{ text: 'Relays', icon: 'relay', path: '/relays', under: '/relays', scope: 'networking_settings', area: 'relays' },
	] },
	{ head: 'Server', items: [
		{ text: 'Logs', icon: 'logs', path: '/logs/changes', under: '/logs', scope: 'logs:configuration' },
		{ text: 'Settings', icon: 'settings', path: '/settings/general', under: '/settings', scope: 'feature_settings', area: 'settings' },
	] },
];

type Load = () => Promise<{ default: Page }>;
/** First match wins. A place of NAV is shown once there is a page for it. */
export const ROUTES: { pattern: string; load: Load }[] = [
	{ pattern: '/t/:tailnet/*', load: () => import('../pages/Tailnet') },
	{ pattern: '/t/:tailnet', load: () => import('../pages/Tailnet') },
	{ pattern: '/machines', load: () => import('../pages/machines/List') },
	{ pattern: '/machines/by-name/:name', load: () => import('../pages/machines/ByName') },
	{ pattern: '/machines/:id', load: () => import('../pages/machines/Machine') },
	{ pattern: '/users', load: () => import('../pages/users/List') },
	{ pattern: '/users/:id', load: () => import('../pages/users/User') },
	{ pattern: '/routes', load: () => import('../pages/routes/Routes') },
	{ pattern: '/keys/:kind', load: () => import('../pages/keys/Keys') },
	{ pattern: '/logs/:log', load: () => import('../pages/logs/Logs') },
	{ pattern: '/dns', load: () => import('../pages/dns/Dns') },
	{ pattern: '/relays', load: () => import('../pages/relays/Relays') },
	{ pattern: '/relays/:id', load: () => import('../pages/relays/Relay') },
	{ pattern: '/settings/:tab', load: () => import('../pages/settings/Settings') },
	{ pattern: '/access/*', load: () => import('../pages/access/Access') },
	{ pattern: '/access', load: () => import('../pages/access/Access') },
];
