// DNS as GET /dns answers it, and what may be typed. No DOM.
import { parseAddress } from './routes';

export type Split = { domain: string; servers: string[] };
export type DnsRecord = { name: string; type: string; value: string };
export type Dns = {
	domain: string; magicDns: boolean; overrideLocal: boolean; global: string[]; split: Split[]; search: string[]; records: DnsRecord[]; useWithExitNode: boolean;
	exitNodeFiltered: string[]; managed: string[];
};
export type Asked = { server: string; state: 'answers' | 'fails' | 'silent' | 'unchecked'; ms: number | null; there: boolean; answers: string[] };
export type Tried = { by: string; answers: string[]; ask: string[]; machine: string; why: string; asked: Asked | null };
export type Checked = { servers: { domain: string; asked: Asked }[] };

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
export const isDomain = (text: string): boolean => text.length <= 253 && text.replace(/\.$/, '').split('.').every(l => LABEL.test(l));
/** An address, one with a port, or a DNS-over-HTTPS address. */
export function isNameserver(text: string): boolean {
	if (/^https:\/\/[^\s/]+(\/\S*)?$/.test(text)) return true;
	const port = /^\[(.+)\]:(\d+)$/.exec(text) ?? /^([\d.]+):(\d+)$/.exec(text);
	return parseAddress(port ? port[1]! : text) !== null && (!port || (Number(port[2]) > 0 && Number(port[2]) < 65536));
}
/** The type that an address asks for; '' when it is none. */
export function typeOf(value: string): '' | 'A' | 'AAAA' {
	const address = parseAddress(value);
	return !address ? '' : address.bits === 32 ? 'A' : 'AAAA';
}
/** The setting's value: {"corp.example": ["10.0.0.53"]}. */
export const splitValue = (split: Split[]): Record<string, string[]> => Object.fromEntries(split.map(s => [s.domain, s.servers]));
