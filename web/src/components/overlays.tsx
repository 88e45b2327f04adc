// What floats: dialogs, menus, toasts, the drawer. Escape closes the topmost; focus goes back to the opener.
import { signal } from '@preact/signals';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../data/api';
import { Button, Copy, Field, Icon, Notice } from './basics';
import type { IconName } from './icons';

// ---- toasts -----------------------------------------------------------------------------------------------------------------

type ToastState = { id: number; text: ComponentChildren; error: boolean; undo?: () => void | Promise<unknown> };
export const toasts = signal<ToastState[]>([]);
let nextToast = 1;
const TOAST_MS = 8_000;

/** One at a time. Errors stay until they are closed. */
export function toast(text: ComponentChildren, undo?: () => void | Promise<unknown>): void {
	toasts.value = [{ id: nextToast++, text, error: false, undo }];
}
export function toastError(text: ComponentChildren): void {
	toasts.value = [{ id: nextToast++, text, error: true }];
}
/** What an act that failed says: "Not renamed: a machine has that name." */
export const failed = (what: string, error: unknown): void => toastError(`${what}: ${error instanceof Error ? error.message.replace(/^./, c => c) : String(error)}`);

/** Does it at once, says so with Undo, or says why not. */
export async function act(done: ComponentChildren, notDone: string, run: () => Promise<unknown>, undo?: () => Promise<unknown>): Promise<boolean> {
	try {
		await run();
		toast(done, undo && (async () => {
			try { await undo(); toast('Undone'); } catch (error) { failed('Not undone', error); }
		}));
		return true;
	} catch (error) {
		failed(notDone, error);
		return false;
	}
}

function ToastView({ state }: { state: ToastState }) {
	const held = useRef(false), left = useRef(TOAST_MS);
	useEffect(() => {
		if (state.error) return;
		const timer = setInterval(() => {
			if (held.current) return;
			left.current -= 250;
			if (left.current <= 0) toasts.value = toasts.value.filter(t => t.id !== state.id);
		}, 250);
		return () => clearInterval(timer);
	}, [state.id]);
	const close = () => { toasts.value = toasts.value.filter(t => t.id !== state.id); };
	return (
		<div class="toast" onPointerEnter={() => { held.current = true; }} onPointerLeave={() => { held.current = false; }}
			onFocusIn={() => { held.current = true; }} onFocusOut={() => { held.current = false; }}>
			<Icon name={state.error ? 'alert' : 'check'} /><span>{state.text}</span>
			{state.undo && <Button label="Undo" size="small" onClick={() => { close(); void state.undo!(); }} />}
			{state.error && <Button label="Close" size="small" icon="x" iconOnly onClick={close} />}
		</div>
	);
}
export const Toasts = () => (
	<div class="toasts">
		<div role="status">{toasts.value.filter(t => !t.error).map(t => <ToastView key={t.id} state={t} />)}</div>
		<div role="alert">{toasts.value.filter(t => t.error).map(t => <ToastView key={t.id} state={t} />)}</div>
	</div>
);

// ---- dialogs ----------------------------------------------------------------------------------------------------------------

type DialogState = { id: number; render: (close: () => void) => VNode };
const dialogs = signal<DialogState[]>([]);
let nextDialog = 1;

/** Opens a dialog: `render` gets what closes it, and answers a <Dialog>. */
export function openDialog(render: (close: () => void) => VNode): void {
	const id = nextDialog++;
	dialogs.value = [...dialogs.value, { id, render }];
}
const closeDialog = (id: number) => { dialogs.value = dialogs.value.filter(d => d.id !== id); };
export const Dialogs = () => <>{dialogs.value.map(d => <DialogHost key={d.id} state={d} />)}</>;
const DialogHost = ({ state }: { state: DialogState }) => state.render(() => closeDialog(state.id));
export const dialogOpen = (): boolean => document.querySelector('dialog[open]') !== null;

/** A modal dialog. Focus starts on what has `autofocus` (data-autofocus), which is the safe button where there is danger. */
export function Dialog({ title, onClose, wide, class: name = 'dialog', children, label }: {
	title?: ComponentChildren; onClose: () => void; wide?: boolean; class?: string; children: ComponentChildren; label?: string;
}) {
	const ref = useRef<HTMLDialogElement>(null), id = useId();
	useLayoutEffect(() => {
		const opener = document.activeElement, dialog = ref.current!;
		dialog.showModal();
		dialog.querySelector<HTMLElement>('[data-autofocus]')?.focus();
		return () => { if (dialog.open) dialog.close(); if (opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true }); };
	}, []);
	return (
		<dialog ref={ref} class={name} data-width={wide ? 'wide' : undefined} aria-labelledby={title ? id : undefined} aria-label={label}
			onCancel={event => { event.preventDefault(); onClose(); }} onClick={event => { if (event.target === ref.current) onClose(); }}>
			{title ? <FormOrDiv><h2 id={id}>{title}</h2>{children}</FormOrDiv> : children}
		</dialog>
	);
}
const FormOrDiv = ({ children }: { children: ComponentChildren }) => <div class="body">{children}</div>;
/** Buttons at a dialog's end. */
export const DialogFoot = ({ children }: { children: ComponentChildren }) => <footer>{children}</footer>;

/** What is not saved, in a dialog: the server's sentence. */
export const Wrong = ({ error }: { error: unknown }) => error ? (
	<Notice tone="danger" alert>{error instanceof Error ? error.message : String(error)}{error instanceof ApiError && error.status >= 500 && error.requestId && <span class="muted request"> Request <Copy text={error.requestId} what="request ID" code /></span>}</Notice>
) : null;

/** A short form in a dialog. `run` throws what went wrong; the dialog stays open then. */
export function openForm(props: { title: string; submit: string; wide?: boolean; ready?: () => boolean; run: () => Promise<unknown>; body: () => ComponentChildren; after?: () => void }): void {
	openDialog(close => <FormDialog {...props} close={close} />);
}
function FormDialog({ title, submit, wide, ready, run, body, close, after }: {
	title: string; submit: string; wide?: boolean; ready?: () => boolean; run: () => Promise<unknown>; body: () => ComponentChildren; close: () => void; after?: () => void;
}) {
	const [busy, setBusy] = useState(false), [error, setError] = useState<unknown>(null);
	const Body = body;
	return (
		<Dialog title={title} onClose={close} wide={wide}>
			<form class="stack" onSubmit={event => {
				event.preventDefault();
				if (busy || (ready && !ready())) return;
				setBusy(true);
				setError(null);
				run().then(() => { close(); after?.(); }, e => setError(e)).finally(() => setBusy(false));
			}}>
				<Body />
				<Wrong error={error} />
				<div class="toolbar"><span class="push" /><Button label="Cancel" onClick={close} /><SubmitButton label={submit} busy={busy} ready={ready} /></div>
			</form>
		</Dialog>
	);
}
const SubmitButton = ({ label, busy, ready }: { label: string; busy: boolean; ready?: () => boolean }) => <Button type="submit" kind="primary" label={label} busy={busy} disabled={ready ? !ready() : false} />;

/** Before what cannot be taken back: title and button name the thing, effects are listed, focus is on the safe button. */
export function openDanger(props: {
	title: string; text?: ComponentChildren; effects?: ComponentChildren[]; typed?: string; action: string; keep?: string; run: () => Promise<unknown>; after?: () => void;
}): void {
	openDialog(close => <DangerDialog {...props} close={close} />);
}
function DangerDialog({ title, text, effects = [], typed, action, keep = 'Cancel', run, after, close }: Parameters<typeof openDanger>[0] & { close: () => void }) {
	const [word, setWord] = useState(''), [busy, setBusy] = useState(false), [error, setError] = useState<unknown>(null);
	const off = typed !== undefined && word !== typed;
	return (
		<Dialog title={title} onClose={close}>
			{text && <p>{text}</p>}
			{effects.length > 0 && <ul class="effects">{effects.map((e, i) => <li key={i}>{e}</li>)}</ul>}
			{typed !== undefined && (
				<Field label={<>Type <b>{typed}</b></>}>{ids => <input class="input" {...ids} autocomplete="off" spellcheck={false} value={word} onInput={e => setWord(e.currentTarget.value)} />}</Field>
			)}
			<Wrong error={error} />
			<div class="toolbar">
				<span class="push" />
				<button type="button" class="button" data-autofocus onClick={close}>{keep}</button>
				<Button kind="danger" label={action} busy={busy} disabled={off} onClick={() => {
					setBusy(true);
					setError(null);
					run().then(() => { close(); after?.(); }, e => setError(e)).finally(() => setBusy(false));
				}} />
			</div>
		</Dialog>
	);
}

// ---- menu -------------------------------------------------------------------------------------------------------------------

export type MenuItem = { text: string; icon?: IconName; key?: string; hint?: string; run?: () => void; href?: string; danger?: boolean; reason?: string; checked?: boolean } | 'line' | false | null | undefined;

/** A button that opens a menu: arrow keys, first letters, Escape; flips at the window's edge. */
export function MenuButton({ label, items, icon = 'more', kind = 'quiet', size, iconOnly = true, chip }: {
	label: string; items: () => MenuItem[]; icon?: IconName; kind?: 'quiet' | 'plain'; size?: 'small'; iconOnly?: boolean; chip?: boolean; // chip: a filter chip
}) {
	const [open, setOpen] = useState(false);
	const opener = useRef<HTMLButtonElement>(null), menu = useRef<HTMLDivElement>(null), id = useId();
	useLayoutEffect(() => {
		const m = menu.current;
		if (!open || !m || !opener.current) return;
		m.showPopover();
		const at = opener.current.getBoundingClientRect(), w = m.offsetWidth, h = m.offsetHeight;
		const below = at.bottom + 4 + h <= innerHeight || at.top < h + 8;
		m.style.position = 'fixed';
		m.style.inset = 'auto';
		m.style.left = `${Math.max(4, Math.min(at.right - w, innerWidth - w - 4))}px`;
		m.style.top = `${below ? Math.min(at.bottom + 4, Math.max(4, innerHeight - h - 4)) : at.top - h - 4}px`;
		m.querySelector<HTMLElement>('[role^=menuitem]')?.focus();
	}, [open]);
	const close = (back = true) => { setOpen(false); if (back) opener.current?.focus(); };
	const keys = (event: KeyboardEvent) => {
		const all = [...menu.current!.querySelectorAll<HTMLElement>('[role^=menuitem]')], i = all.indexOf(document.activeElement as HTMLElement);
		const to = event.key === 'ArrowDown' ? i + 1 : event.key === 'ArrowUp' ? i - 1 : event.key === 'Home' ? 0 : event.key === 'End' ? all.length - 1 : -2;
		if (to > -2) { event.preventDefault(); all[(to + all.length) % all.length]?.focus(); }
		else if (event.key === 'Escape' || event.key === 'Tab') { event.preventDefault(); event.stopPropagation(); close(); }
		else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
			const next = [...all.slice(i + 1), ...all.slice(0, i + 1)].find(e => e.textContent!.trim().toLowerCase().startsWith(event.key.toLowerCase()));
			if (next) { event.preventDefault(); event.stopPropagation(); next.focus(); }
		}
	};
	return (
		<>
			<button ref={opener} type="button" class={chip ? 'chip' : 'button'} data-kind={chip ? 'filter' : kind} data-size={size} data-shape={iconOnly ? 'icon' : undefined} aria-label={iconOnly ? label : undefined} title={iconOnly ? label : undefined}
				aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined} onClick={event => { event.stopPropagation(); setOpen(!open); }}
				onKeyDown={event => { if (event.key === 'ArrowDown') { event.preventDefault(); event.stopPropagation(); setOpen(true); } }}>
				<Icon name={icon} />{!iconOnly && label}
			</button>
			{open && (
				<div ref={menu} id={id} class="menu" role="menu" aria-label={label} popover="auto" onKeyDown={keys}
					onToggle={event => { if ((event as unknown as { newState: string }).newState === 'closed') setOpen(false); }}>
					{items().map((item, i) => item === 'line' ? <hr key={i} /> : item && (item.href && !item.reason
						? <a key={i} role="menuitem" href={item.href} onClick={() => close()}>{item.icon && <Icon name={item.icon} />}{item.text}{item.key && <kbd>{item.key}</kbd>}</a>
						: <button key={i} type="button" role={item.checked === undefined ? 'menuitem' : 'menuitemcheckbox'} aria-checked={item.checked} data-tone={item.danger ? 'danger' : undefined}
							aria-disabled={item.reason ? true : undefined} title={item.reason}
							onClick={() => { if (item.reason) return; if (item.checked === undefined) close(); item.run?.(); }}>
							{item.checked !== undefined ? <span class="tick">{item.checked && <Icon name="check" />}</span> : item.icon && <Icon name={item.icon} />}{item.text}
							{item.key ? <kbd>{item.key}</kbd> : item.hint && <span class="hint">{item.hint}</span>}
						</button>))}
				</div>
			)}
		</>
	);
}

// ---- drawer -----------------------------------------------------------------------------------------------------------------

/** A look at one row without leaving the list; not modal, the list keeps the keys. */
export const Drawer = ({ title, onClose, children, state }: { title: string; onClose: () => void; children: ComponentChildren; state?: ComponentChildren }) => (
	<aside class="drawer" aria-label={title}>
		<header><h2>{title}</h2>{state}<Button label="Close" kind="quiet" size="small" icon="x" iconOnly onClick={onClose} /></header>
		<div class="body">{children}</div>
	</aside>
);

// ---- parts of a page that are not there -------------------------------------------------------------------------------------

/** What failed, what still works, and when it is tried again. */
export function Failed({ what, error, retryAt, onRetry }: { what: string; error: ApiError; retryAt?: number; onRetry?: () => void }) {
	const [, tick] = useState(0);
	useEffect(() => {
		if (!retryAt) return;
		const timer = setInterval(() => tick(n => n + 1), 500);
		return () => clearInterval(timer);
	}, [retryAt]);
	const left = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
	return (
		<Notice tone={error.status === 403 ? undefined : 'warn'} icon={error.status === 403 ? 'lock' : undefined} alert actions={onRetry && error.status !== 403 ? <Button label="Try now" size="small" onClick={onRetry} /> : undefined}>
			<b>{error.status === 403 ? `You may not see ${what}.` : `Could not load ${what}.`}</b> {error.message}{left > 0 && ` Trying again in ${left} s.`}
			{error.requestId && <span class="muted request"> Request <Copy text={error.requestId} what="request ID" code /></span>}
		</Notice>
	);
}
