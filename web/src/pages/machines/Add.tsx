// The guide to a machine: as the page when there is none yet, and as a dialog later. It turns green by itself when one has joined.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button, Command, Icon, LinkButton, Segmented } from '../../components/basics';
import { Dialog } from '../../components/overlays';
import { Qr } from '../../components/qr';
import { has, type Machine } from '../../data/machines';
import { href } from '../../data/router';
import { machineList, me } from '../../data/store';
import { add as text, type System } from '../../text/add';
import { approve } from './actions';

const SYSTEMS: System[] = ['linux', 'macos', 'windows', 'ios', 'android'];
const guess = (): System => /Android/.test(navigator.userAgent) ? 'android' : /iPhone|iPad/.test(navigator.userAgent) ? 'ios' : /Mac/.test(navigator.platform) ? 'macos' : /Win/.test(navigator.platform) ? 'windows' : 'linux';

function Joined({ machine }: { machine: Machine }) {
	return (
		<div class="notice" data-tone="ok" role="status"><Icon name="check" />
			<div><b>{text.joined(machine.name)}</b> <span class="muted">{machine.v4 || machine.v6}{machine.owner && ` · ${machine.owner}`}</span>{has(machine, 'waits') && <p class="muted">{text.waits}</p>}</div>
			<div class="row">{has(machine, 'waits') ? <Button label={text.approve} size="small" onClick={() => void approve(machine)} /> : <LinkButton label={text.open} size="small" href={href(`/machines/${machine.id}`)} />}</div>
		</div>
	);
}

export function Steps({ before }: { before: ReadonlySet<string> }) {
	const [system, setSystem] = useState<System>(guess), url = me.value?.server.url ?? location.origin, phone = system === 'ios' || system === 'android';
	const joined = machineList.value.filter(m => !before.has(m.id));
	return (
		<>
			<Segmented label={text.system} items={SYSTEMS.map(s => ({ text: text.systems[s], on: s === system, pick: () => setSystem(s) }))} />
			<div class="join">
				<ol>
					<li class="stack"><p>1. {text.install[system]}</p>{text.installCommand[system] && <Command text={text.installCommand[system]!} />}</li>
					<li class="stack"><p>2. {phone ? text.pointPhone[system as 'ios' | 'android'] : text.point}</p><Command text={phone ? url : `${system === 'linux' ? 'sudo ' : ''}tailscale up --login-server ${url}`} /></li>
					<li>{joined.length ? <div class="stack">{joined.slice(0, 5).map(m => <Joined key={m.id} machine={m} />)}</div>
						: <p class="waiting" role="status"><span class="pulse" />{text.waiting}</p>}</li>
				</ol>
				<figure><Qr text={url} label={text.qrLabel(url)} /><figcaption>{text.qr}</figcaption></figure>
			</div>
		</>
	);
}

export function Guide() {
	const before = useRef<ReadonlySet<string>>(new Set()).current;
	return (
		<section class="step" aria-current="step" aria-label={text.first}>
			<header><div><h2>{text.first}</h2></div><span class="muted">{text.firstMore}</span></header>
			<div class="body"><Steps before={before} /></div>
		</section>
	);
}

export function AddMachine({ onClose }: { onClose: () => void }) {
	const before = useRef<ReadonlySet<string>>(new Set(machineList.value.map(m => m.id))).current;
	const joined = machineList.value.some(m => !before.has(m.id)), done = useRef<HTMLButtonElement>(null);
	useEffect(() => { if (joined) done.current?.focus(); }, [joined]);
	return (
		<Dialog title={text.title} onClose={onClose} wide>
			<Steps before={before} />
			<p class="muted">{text.unattended} <a href={href('/keys/auth?create=1')}>{text.createKey}</a></p>
			<div class="toolbar"><span class="push" /><button ref={done} type="button" class="button" data-kind={joined ? 'primary' : undefined} onClick={onClose}>{joined ? text.done : text.close}</button></div>
		</Dialog>
	);
}
