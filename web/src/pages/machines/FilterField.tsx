import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Icon } from '../../components/basics';
import { complete, type Context } from '../../data/filter';
import { machineList } from '../../data/store';
import { text } from '../../text/machines';

/** The filter: what is typed filters at once; completion of tokens stands below it. */
export function FilterField({ value, context, onChange }: { value: string; context: Context; onChange: (text: string) => void }) {
	const [typed, setTyped] = useState(value), [open, setOpen] = useState(false), [at, setAt] = useState(-1), [cursor, setCursor] = useState(0);
	const field = useRef<HTMLInputElement>(null), id = useId();
	useEffect(() => { if (value !== typed.trim() && value !== typed) setTyped(value); }, [value]);
	const { from, options } = open ? complete(typed, cursor, machineList.value, context) : { from: 0, options: [] };
	const set = (words: string) => { setTyped(words); onChange(words); };
	const take = (i: number) => {
		const o = options[i]!, next = typed.slice(0, from) + o.insert + typed.slice(cursor).replace(/^\S*\s?/, '');
		set(next);
		const end = from + o.insert.length;
		setCursor(end);
		setAt(-1);
		setOpen(o.insert.endsWith(':'));
		requestAnimationFrame(() => field.current?.setSelectionRange(end, end));
	};
	return (
		<div class="search">
			<Icon name="search" />
			<input ref={field} class="input" type="search" role="combobox" aria-label={text.filter} aria-expanded={options.length > 0} aria-controls={id} aria-autocomplete="list" aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
				placeholder={text.hint} value={typed} autocomplete="off" spellcheck={false}
				onInput={e => { set(e.currentTarget.value); setCursor(e.currentTarget.selectionStart ?? 0); setOpen(true); setAt(-1); }}
				onBlur={() => setOpen(false)}
				onKeyDown={e => {
					if (options.length && (e.key === 'ArrowDown' || e.key === 'ArrowUp')) { e.preventDefault(); setAt((at + (e.key === 'ArrowDown' ? 1 : at < 0 ? 0 : -1) + options.length) % options.length); }
					else if (options.length && at >= 0 && (e.key === 'Enter' || e.key === 'Tab')) { e.preventDefault(); take(at); }
					else if (e.key === 'Tab' && options.length === 1 && !e.shiftKey) { e.preventDefault(); take(0); }
					else if (e.key === 'Escape') { e.preventDefault(); e.stopPropagation(); if (options.length) setOpen(false); else if (typed) set(''); else field.current!.blur(); }
					else if (e.key === 'Enter') { setOpen(false); document.querySelector<HTMLElement>('a[data-row]')?.focus(); }
				}} />
			<kbd>/</kbd>
			<div class="menu" role="listbox" id={id} aria-label={text.filter} hidden={!options.length}>
				{options.map((o, i) => (
					<div key={o.shown} id={`${id}-${i}`} role="option" aria-selected={i === at} data-active={i === at || undefined} onPointerDown={e => { e.preventDefault(); take(i); }}><code>{o.shown}</code>{o.hint && <span class="hint">{o.hint}</span>}</div>
				))}
			</div>
		</div>
	);
}
