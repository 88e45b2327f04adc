import type { ComponentChildren, JSX } from 'preact';
import { useId, useRef, useState } from 'preact/hooks';
import type { IconName } from './icons';

export const Icon = ({ name, label }: { name: IconName; label?: string }) => (
	<svg class="icon" role={label ? 'img' : undefined} aria-label={label} aria-hidden={label ? undefined : true}><use href={`#i-${name}`} /></svg>
);

export const Mark = () => (
	<svg class="mark" viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="5.75" /><path d="M1.5 16.500C5 16 7.5 13.5 10 10s5-6 8.5-6.5" /></svg>
);

export type Tone = 'ok' | 'warn' | 'danger' | 'accent';
type ButtonLook = { kind?: 'primary' | 'quiet' | 'danger'; size?: 'small' | 'large'; icon?: IconName; iconOnly?: boolean };
type ButtonProps = ButtonLook & Omit<JSX.HTMLAttributes<HTMLButtonElement>, 'size' | 'icon' | 'label'> & {
	label: string; busy?: boolean; disabled?: boolean; type?: 'button' | 'submit';
	/** why it cannot be pressed: shown as tooltip, and the button stays focusable so that the reason can be read */
	reason?: string;
};

/** A button. `label` is its words, or its name when only the icon shows. A button with a `reason` is off and says why. */
export function Button({ kind, size, icon, iconOnly, label, busy, reason, disabled, type = 'button', onClick, children, ...rest }: ButtonProps) {
	return (
		<button type={type} class="button" data-kind={kind} data-size={size} data-shape={iconOnly ? 'icon' : undefined} title={reason ?? (iconOnly ? label : undefined)}
			aria-label={iconOnly ? label : undefined} aria-busy={busy || undefined} disabled={disabled} aria-disabled={reason ? true : undefined}
			onClick={reason || busy ? event => event.preventDefault() : onClick} {...rest}>
			{icon && !busy && <Icon name={icon} />}{!iconOnly && label}{children}
		</button>
	);
}

/** A link that looks like a button. */
export const LinkButton = ({ kind, size, icon, label, ...rest }: ButtonLook & { label: string; href: string; download?: string; target?: string }) => (
	<a class="button" data-kind={kind} data-size={size} {...rest}>{icon && <Icon name={icon} />}{label}</a>
);

export const Chip = ({ children, kind, tone, icon, title }: { children: ComponentChildren; kind?: 'tag' | 'ephemeral'; tone?: Tone; icon?: IconName; title?: string }) => (
	<span class="chip" data-kind={kind} data-tone={tone} title={title}>{icon && <Icon name={icon} />}{children}</span>
);
export const Tag = ({ name }: { name: string }) => <Chip kind="tag">{name}</Chip>;

export type DotState = 'online' | 'offline' | 'waiting' | 'blocked';
export const Dot = ({ state }: { state: DotState }) => <span class="dot" data-state={state} />;

export const initials = (name: string): string => {
	const words = name.replace(/@.*/, '').split(/[\s._-]+/).filter(Boolean);
	return ((words[0]?.[0] ?? '') + (words.length > 1 ? words[words.length - 1]![0] : words[0]?.[1] ?? '')).toUpperCase();
};
export const Avatar = ({ name, icon, large }: { name: string; icon?: IconName; large?: boolean }) => (
	<span class="avatar" data-size={large ? 'large' : undefined} aria-hidden="true">{icon ? <Icon name={icon} /> : initials(name)}</span>
);

export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		// Plain HTTP on a private address has no clipboard API: a selected field and the old command still work there.
		const area = document.createElement('textarea');
		area.value = text;
		area.setAttribute('aria-hidden', 'true');
		area.style.position = 'fixed';
		area.style.opacity = '0';
		(document.querySelector('dialog[open]') ?? document.body).append(area);
		area.select();
		const done = document.execCommand('copy');
		area.remove();
		return done;
	}
}

function useCopied(): [boolean, (text: string) => void] {
	const [copied, set] = useState(false);
	const timer = useRef(0);
	return [copied, text => void copyText(text).then(done => {
		set(done);
		clearTimeout(timer.current);
		timer.current = window.setTimeout(() => set(false), 1600);
	})];
}

/** A value that can be copied; `what` names it: "address". */
export function Copy({ text, what, code, children }: { text: string; what: string; code?: boolean; children?: ComponentChildren }) {
	const [copied, copy] = useCopied();
	const words = children ?? text;
	return (
		<span class="copy">
			{code ? <code class="truncate">{words}</code> : <span class="truncate">{words}</span>}
			<button type="button" aria-label={copied ? `Copied ${what}` : `Copy ${what}`} title={copied ? 'Copied' : `Copy ${what}`} onClick={event => { event.stopPropagation(); copy(text); }}>
				<Icon name={copied ? 'check' : 'copy'} />
			</button>
		</span>
	);
}

/** A command to run, with Copy. */
export function Command({ text }: { text: string }) {
	const [copied, copy] = useCopied();
	return <div class="command"><code>{text}</code><Button label={copied ? 'Copied' : 'Copy'} size="small" icon={copied ? 'check' : 'copy'} onClick={() => copy(text)} /></div>;
}

export type TabItem = { text: string; href: string; count?: number; on: boolean; tone?: 'warn' };
export const Tabs = ({ label, items, children }: { label: string; items: TabItem[]; children?: ComponentChildren }) => (
	<nav class="tabs" aria-label={label}>
		{items.map(item => (
			<a key={item.href} href={item.href} aria-current={item.on ? 'page' : undefined}>
				{item.text}{item.count !== undefined && <> <span class="count" data-tone={item.count ? item.tone : undefined}>{item.count.toLocaleString('en')}</span></>}
			</a>
		))}
		{children}
	</nav>
);

/** A choice of two or three that shows itself. With href they are links. */
export const Segmented = ({ label, items }: { label: string; items: { text: string; on: boolean; href?: string; pick?: () => void }[] }) => (
	<div class="segmented" role="group" aria-label={label}>
		{items.map(item => item.href ? <a key={item.text} href={item.href} aria-current={item.on ? 'true' : undefined}>{item.text}</a>
			: <button key={item.text} type="button" aria-pressed={item.on} onClick={item.pick}>{item.text}</button>)}
	</div>
);

export const Card = ({ title, actions, foot, children, label }: { title?: ComponentChildren; actions?: ComponentChildren; foot?: ComponentChildren; children?: ComponentChildren; label?: string }) => (
	<section class="card" aria-label={label}>
		{title !== undefined && <header><h2>{title}</h2>{actions}</header>}
		{children}
		{foot && <footer>{foot}</footer>}
	</section>
);
export const Facts = ({ rows }: { rows: ([string, ComponentChildren] | false | null | undefined | '')[] }) => (
	<dl class="facts">{rows.map(row => row && <div key={row[0]}><dt>{row[0]}</dt><dd>{row[1]}</dd></div>)}</dl>
);

export const Notice = ({ tone, icon, children, actions, alert }: { tone?: Tone; icon?: IconName; children: ComponentChildren; actions?: ComponentChildren; alert?: boolean }) => (
	<div class="notice" data-tone={tone} role={alert ? 'alert' : undefined}>
		<Icon name={icon ?? (tone === 'warn' || tone === 'danger' ? 'alert' : tone === 'ok' ? 'check' : 'info')} />
		<div>{children}</div>
		{actions && <div class="row">{actions}</div>}
	</div>
);

export const Empty = ({ title, children, actions }: { title: ComponentChildren; children?: ComponentChildren; actions?: ComponentChildren }) => (
	<div class="empty"><h2>{title}</h2>{children && <p>{children}</p>}{actions && <div class="toolbar">{actions}</div>}</div>
);

/** The shape of what will come; shows itself after 150 ms only. */
export const Skeletons = ({ rows = 6 }: { rows?: number }) => (
	<div class="skeletons" role="status" aria-label="Loading">{Array.from({ length: rows }, (_, i) => <span key={i} class="skeleton" />)}</div>
);

/** Label, control, then help or what is wrong. `children` gets the ids that the control must carry. */
export function Field({ label, help, wrong, children }: {
	label: ComponentChildren; help?: ComponentChildren; wrong?: ComponentChildren;
	children: (ids: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }) => ComponentChildren;
}) {
	const id = useId();
	return (
		<div class="field">
			<label for={id}>{label}</label>
			{children({ id, 'aria-describedby': wrong || help ? `${id}-more` : undefined, 'aria-invalid': wrong ? true : undefined })}
			{wrong ? <span class="wrong" id={`${id}-more`}><Icon name="alert" />{wrong}</span> : help && <span class="help" id={`${id}-more`}>{help}</span>}
		</div>
	);
}

/** Applies at once. Forms with a button use checks instead. */
export const Switch = ({ id, checked, onChange, disabled, label, title, describedBy }: {
	id?: string; checked: boolean; onChange: (on: boolean) => void; disabled?: boolean; label?: string; title?: string; describedBy?: string;
}) => (
	<input id={id} type="checkbox" role="switch" class="switch" checked={checked} disabled={disabled} aria-label={label} title={title} aria-describedby={describedBy}
		onChange={event => { const on = event.currentTarget.checked; event.currentTarget.checked = checked; onChange(on); }} />
);

/** The page's head: one h1 (focused when the page opens), one primary action. */
export const PageHead = ({ title, actions, children, state }: { title: ComponentChildren; actions?: ComponentChildren; children?: ComponentChildren; state?: ComponentChildren }) => (
	<header class="page-head">
		<h1 tabIndex={-1}>{title}</h1>{state && <span class="title-state">{state}</span>}
		{actions && <div class="actions">{actions}</div>}
		{children && <p>{children}</p>}
	</header>
);

export const Section = ({ title, children, actions, text }: { title: ComponentChildren; text?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren }) => (
	<section class="section"><header><div><h2>{title}</h2>{text && <p>{text}</p>}</div>{actions}</header>{children}</section>
);

export const Avatared = ({ name, icon, children }: { name: string; icon?: IconName; children?: ComponentChildren }) => (
	<span class="row"><Avatar name={name} icon={icon} />{children ?? <span class="truncate">{name}</span>}</span>
);
