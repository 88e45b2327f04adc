// The policy editor: CodeMirror in a shadow root, where its styles are constructed sheets, which the CSP allows; in its own chunk.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from '@codemirror/commands';
import { bracketMatching, codeFolding, foldGutter, foldKeymap, foldService, HighlightStyle, indentService, indentUnit, StreamLanguage, syntaxHighlighting, type StringStream } from '@codemirror/language';
import { highlightSelectionMatches, openSearchPanel, search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, RangeSet, StateEffect, StateField, type Extension, type Text } from '@codemirror/state';
import { Decoration, drawSelection, EditorView, GutterMarker, gutterLineClass, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder, WidgetType, type DecorationSet } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { changedLines } from '../../data/diff';
import { faultWords, type Fault, type Fix } from '../../data/policy';

export type Word = { label: string; detail: string };
export type Editor = {
	get: () => string;
	set: (text: string) => void;                     // replaces all, as one undoable edit
	edit: (fix: Fix) => void;
	base: (text: string) => void;                    // what changed lines are reckoned against
	faults: (list: Fault[], tone?: 'error') => void;
	readOnly: (on: boolean) => void;
	go: (line: number) => void;
	cursor: () => number;
	focus: () => void;
	find: () => void;
	nextProblem: () => void;
	destroy: () => void;
};

// ---- HuJSON: keys, strings, comments -------------------------------------------------------------------------------------
const hujson = StreamLanguage.define<{ block: boolean }>({
	name: 'hujson',
	startState: () => ({ block: false }),
	token(stream: StringStream, state) {
		if (state.block) {
			if (stream.skipTo('*/')) { stream.next(); stream.next(); state.block = false; } else stream.skipToEnd();
			return 'comment';
		}
		if (stream.eatSpace()) return null;
		if (stream.match('//')) { stream.skipToEnd(); return 'comment'; }
		if (stream.match('/*')) { state.block = true; return 'comment'; }
		if (stream.peek() === '"') {
			stream.next();
			for (let c = stream.next(); c && c !== '"'; c = stream.next()) if (c === '\\') stream.next();
			return stream.match(/^\s*:/, false) ? 'propertyName' : 'string';
		}
		if (stream.match(/^(?:true|false|null|-?\d[\d.eE+-]*)/)) return 'atom';
		stream.next();
		return 'punctuation';
	},
	languageData: { commentTokens: { line: '//', block: { open: '/*', close: '*/' } }, closeBrackets: { brackets: ['[', '{', '"'] }, indentOnInput: /^\s*[\]}]$/ },
});
const colours = HighlightStyle.define([
	{ tag: tags.propertyName, color: 'var(--code-key)' }, { tag: tags.string, color: 'var(--code-string)' }, { tag: tags.comment, color: 'var(--code-comment)' }, { tag: tags.atom, color: 'var(--warn)' },
]);

/** Two spaces more than the line before where that opens a bracket, two less for what closes one. */
const indents = indentService.of((context, pos) => {
	const here = context.state.doc.lineAt(pos), before = context.lineAt(pos, -1), after = context.textAfterPos(pos, 1), from = before.from === here.from && pos > here.from ? before.text : here.number > 1 ? context.state.doc.line(here.number - 1).text : '';
	const base = /^[\t ]*/.exec(from)![0].replace(/\t/g, '  ').length;
	return Math.max(0, base + (/[[{]\s*(\/\/.*)?$/.test(from) ? 2 : 0) - (/^\s*[\]}]/.test(after) ? 2 : 0));
});

/** A line that ends with an open bracket folds to the line of its closing one. */
const folds = foldService.of((state, start, end) => {
	const line = state.doc.sliceString(start, end), open = /[[{]\s*(?:\/\/.*)?$/.exec(line.replace(/"(?:[^"\\]|\\.)*"/g, s => ' '.repeat(s.length)));
	if (!open) return null;
	let depth = 0, i = start + open.index;
	const text = state.doc.toString();
	for (; i < text.length; i++) {
		const c = text[i];
		if (c === '"') { for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++; }
		else if (c === '/' && text[i + 1] === '/') { const e = text.indexOf('\n', i); i = e < 0 ? text.length : e; }
		else if (c === '/' && text[i + 1] === '*') { const e = text.indexOf('*/', i + 2); i = e < 0 ? text.length : e + 1; }
		else if (c === '[' || c === '{') depth++;
		else if ((c === ']' || c === '}') && --depth === 0) break;
	}
	return i < text.length && i > end ? { from: start + open.index + 1, to: i } : null;
});

// ---- errors stand under their line, with a fix ------------------------------------------------------------------------------
const setFaults = StateEffect.define<Fault[]>();
const setBase = StateEffect.define<string>();

class Message extends WidgetType {
	constructor(readonly fault: Fault) { super(); }
	override eq(other: Message): boolean { return other.fault.text === this.fault.text && other.fault.fix?.label === this.fault.fix?.label; }
	override toDOM(view: EditorView): HTMLElement {
		const box = document.createElement('div'), words = document.createElement('span'), sign = document.createElement('b');
		box.className = 'fl-message';
		sign.textContent = '△';
		sign.setAttribute('aria-hidden', 'true');
		words.textContent = faultWords(this.fault.text);
		box.append(sign, words);
		const fix = this.fault.fix;
		if (fix) {
			const button = document.createElement('button');
			button.type = 'button';
			button.textContent = fix.label;
			// The places are those of the text that was looked at: what was typed since has moved the fault with its mark.
			button.addEventListener('click', () => {
				const now = view.state.field(faultField).list.find(f => f.fault.text === this.fault.text && f.fault.fix?.label === fix.label);
				if (now) {
					const whole = fix.from === this.fault.from && fix.to === this.fault.to, from = whole ? now.from : now.from + fix.from - this.fault.from;
					view.dispatch({ changes: { from, to: whole ? now.to : from + fix.to - fix.from, insert: fix.replacement }, userEvent: 'input.fix' });
				}
				view.focus();
			});
			box.append(button);
		}
		return box;
	}
	override ignoreEvent(): boolean { return true; }
}

type Placed = { fault: Fault; from: number; to: number };
const wrongGutter = new (class extends GutterMarker { override elementClass = 'fl-wrong-gutter'; })();
const faultField = StateField.define<{ list: Placed[]; marks: DecorationSet; gutter: RangeSet<GutterMarker> }>({
	create: () => ({ list: [], marks: Decoration.none, gutter: RangeSet.empty }),
	update(value, tr) {
		let list = value.list.map(f => ({ fault: f.fault, from: tr.changes.mapPos(f.from, 1), to: tr.changes.mapPos(f.to, -1) }));
		let fresh = tr.docChanged;
		for (const e of tr.effects) if (e.is(setFaults)) { fresh = true; const n = tr.newDoc.length; list = e.value.map(fault => ({ fault, from: Math.min(fault.from, n), to: Math.min(Math.max(fault.to, fault.from), n) })); }
		if (!fresh) return value;
		const ranges = [], gutter = [], lines = new Set<number>();
		for (const f of list) {
			const line = tr.newDoc.lineAt(f.fault.line === 0 ? 0 : f.from);
			if (!lines.has(line.from)) { lines.add(line.from); ranges.push(Decoration.line({ class: 'fl-wrong' }).range(line.from)); gutter.push(wrongGutter.range(line.from)); }
			if (f.to > f.from) ranges.push(Decoration.mark({ class: 'fl-underline' }).range(f.from, f.to));
			ranges.push(Decoration.widget({ widget: new Message(f.fault), block: true, side: 1 }).range(line.to));
		}
		return { list, marks: Decoration.set(ranges, true), gutter: RangeSet.of(gutter, true) };
	},
	provide: f => [EditorView.decorations.from(f, v => v.marks), gutterLineClass.from(f, v => v.gutter)],
});

const changedGutter = new (class extends GutterMarker { override elementClass = 'fl-changed'; })();
const changedField = StateField.define<{ base: string; marks: RangeSet<GutterMarker> }>({
	create: () => ({ base: '', marks: RangeSet.empty }),
	update(value, tr) {
		let base = value.base, fresh = tr.docChanged;
		for (const e of tr.effects) if (e.is(setBase)) { base = e.value; fresh = true; }
		return fresh ? { base, marks: changedMarks(base, tr.newDoc) } : value;
	},
	provide: f => gutterLineClass.from(f, v => v.marks),
});
function changedMarks(base: string, doc: Text): RangeSet<GutterMarker> {
	const lines = [...changedLines(base, doc.toString())].filter(n => n <= doc.lines).sort((a, b) => a - b);
	return RangeSet.of(lines.map(n => changedGutter.range(doc.line(n).from)));
}

const theme = EditorView.theme({
	'&': { blockSize: '100%', backgroundColor: 'var(--surface)', color: 'var(--text)', fontSize: '0.8125rem' },
	'&.cm-focused': { outline: 'none' },
	'.cm-scroller': { fontFamily: 'var(--font-code)', lineHeight: '1.375rem', fontVariantLigatures: 'none', overflow: 'auto' },
	'.cm-content': { paddingBlock: '0.5rem', caretColor: 'var(--text)' },
	'.cm-placeholder': { color: 'var(--faint)', whiteSpace: 'pre-wrap' },
	'.cm-cursor': { borderLeftColor: 'var(--text)' },
	'.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--faint)', border: '0' },
	'.cm-lineNumbers .cm-gutterElement': { minInlineSize: '2.75rem', paddingInlineEnd: '0.5rem' },
	'.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--hover) 70%, transparent)' },
	'.cm-activeLineGutter': { backgroundColor: 'transparent', color: 'var(--text)' },
	'.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': { backgroundColor: 'var(--selection-ground)' },
	'.cm-selectionMatch': { backgroundColor: 'var(--accent-soft)' },
	'&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--accent-soft)', outline: '1px solid var(--accent)' },
	'.cm-foldPlaceholder': { backgroundColor: 'var(--sunken)', color: 'var(--muted)', border: '0', borderRadius: '4px', paddingInline: '0.375em', marginInline: '0.25em' },
	'.cm-foldGutter .cm-gutterElement': { color: 'var(--faint)', cursor: 'pointer' },
	'.cm-lineNumbers .fl-changed': { boxShadow: 'inset 3px 0 var(--accent-fill)' },
	'.fl-wrong-gutter': { backgroundColor: 'var(--danger-soft)' },
	'.cm-lineNumbers .fl-wrong-gutter': { boxShadow: 'inset 3px 0 var(--danger-fill)' },
	'.fl-wrong': { backgroundColor: 'var(--danger-soft)' },
	'.fl-underline, .fl-underline *': { textDecorationLine: 'underline', textDecorationStyle: 'wavy', textDecorationColor: 'var(--danger)', textUnderlineOffset: '0.25em' },
	'.fl-message': {
		display: 'flex', alignItems: 'center', flexWrap: 'wrap', gap: '0.25rem 0.5rem', position: 'sticky', insetInlineStart: '4.25rem', inlineSize: 'fit-content', maxInlineSize: 'min(44rem, 100%)', marginBlock: '0.25rem 0.5rem', marginInline: '0.5rem',
		padding: '0.25rem 0.375rem 0.25rem 0.75rem', border: '1px solid var(--danger)', borderRadius: '6px', backgroundColor: 'var(--surface)', font: '0.8125rem/1.4 var(--font-ui)', whiteSpace: 'normal',
	},
	'.fl-message b': { color: 'var(--danger)' },
	'.fl-message button': { blockSize: '1.625rem', paddingInline: '0.5rem', border: '1px solid var(--line-strong)', borderRadius: '6px', backgroundColor: 'var(--surface)', color: 'var(--text)', font: '500 0.75rem var(--font-ui)', cursor: 'pointer' },
	'.fl-message button:hover': { backgroundColor: 'var(--hover)', borderColor: 'var(--line-control)' },
	'.fl-message button:focus-visible': { outline: '2px solid var(--accent)', outlineOffset: '2px' },
	'.cm-panels': { backgroundColor: 'var(--sunken)', color: 'var(--text)', borderColor: 'var(--line)', font: '0.8125rem var(--font-ui)' },
	'.cm-panel.cm-search input, .cm-panel.cm-search button': { font: 'inherit', color: 'inherit', backgroundColor: 'var(--surface)', backgroundImage: 'none', border: '1px solid var(--line-control)', borderRadius: '6px', padding: '0.125rem 0.5rem' },
	'.cm-panel.cm-search label': { fontSize: '0.75rem' },
	'.cm-searchMatch': { backgroundColor: 'var(--warn-soft)' },
	'.cm-searchMatch-selected': { backgroundColor: 'var(--selection-ground)' },
	'.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--text)', border: '0', borderRadius: '6px', boxShadow: 'var(--shadow-menu)', overflow: 'hidden' },
	'.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--font-code)', fontSize: '0.8125rem', maxBlockSize: '14rem' },
	'.cm-tooltip-autocomplete > ul > li': { padding: '0.25rem 0.5rem' },
	'.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--active)', color: 'var(--text)' },
	'.cm-completionDetail': { color: 'var(--muted)', fontStyle: 'normal', fontFamily: 'var(--font-ui)' },
	'.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '600' },
});

export function makeEditor(parent: HTMLElement, options: {
	text: string; readOnly: boolean; label: string; start: string; words: () => Word[]; onChange: (text: string) => void; onSave: () => void; onCursor: (at: number) => void;
}): Editor {
	const root = parent.shadowRoot ?? parent.attachShadow({ mode: 'open', delegatesFocus: false }), readOnly = new Compartment();
	const isReadOnly = (on: boolean): Extension => [EditorState.readOnly.of(on), EditorView.editable.of(!on)];
	const complete = (context: CompletionContext): CompletionResult | null => {
		const word = context.matchBefore(/"[\w.:@*/-]*/);
		if (!word || (!context.explicit && word.to - word.from < 1)) return null;
		return { from: word.from + 1, options: options.words().map(w => ({ label: w.label, detail: w.detail })), validFor: /^[\w.:@*/-]*$/ };
	};
	const nextProblem = (view: EditorView): boolean => {
		const list = [...view.state.field(faultField).list].sort((a, b) => a.from - b.from), at = view.state.selection.main.head, next = list.find(f => f.from > at) ?? list[0];
		if (next) { view.dispatch({ selection: { anchor: next.from }, effects: EditorView.scrollIntoView(next.from, { y: 'center' }) }); view.focus(); }
		return next !== undefined;
	};
	const definition = (view: EditorView): boolean => {
		const { doc, selection } = view.state, line = doc.lineAt(selection.main.head);
		for (const m of line.text.matchAll(/"([^"]*)"/g)) {
			if (line.from + m.index > selection.main.head || line.from + m.index + m[0].length < selection.main.head) continue;
			const name = m[1]!.replace(/^(tag:[\w-]+|group:[\w.-]+|[\w.-]+):[\d*,-]+$/, '$1'), at = doc.toString().search(new RegExp(`"${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}"\\s*:`));
			if (at >= 0) view.dispatch({ selection: { anchor: at + 1 }, effects: EditorView.scrollIntoView(at, { y: 'center' }) });
			return at >= 0;
		}
		return false;
	};
	const view = new EditorView({
		parent: root, root,
		state: EditorState.create({
			doc: options.text,
			extensions: [
				lineNumbers(), foldGutter({ openText: '⌄', closedText: '›' }), codeFolding({ placeholderText: '…' }), history(), drawSelection(), highlightActiveLine(), highlightActiveLineGutter(), bracketMatching(), closeBrackets(), highlightSelectionMatches(),
				search({ top: true }), autocompletion({ override: [complete], icons: false }), hujson, folds, indents, syntaxHighlighting(colours), indentUnit.of('  '), EditorState.tabSize.of(2), faultField, changedField, theme, placeholder(options.start),
				readOnly.of(isReadOnly(options.readOnly)),
				EditorView.contentAttributes.of({ 'aria-label': options.label, tabindex: '0', spellcheck: 'false', autocorrect: 'off', autocapitalize: 'off' }),
				keymap.of([
					{ key: 'Mod-s', run: () => { options.onSave(); return true; }, preventDefault: true }, { key: 'F8', run: nextProblem }, { key: 'F12', run: definition }, { key: 'Mod-/', run: toggleComment },
					{ key: 'Escape', run: v => { v.contentDOM.blur(); return true; } },
					...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, indentWithTab,
				]),
				EditorView.domEventHandlers({ mousedown: (event, v) => { if (event.metaKey || event.ctrlKey) { const at = v.posAtCoords({ x: event.clientX, y: event.clientY }); if (at !== null) { v.dispatch({ selection: { anchor: at } }); return definition(v); } } return false; } }),
				EditorView.updateListener.of(update => {
					if (update.docChanged) options.onChange(update.state.doc.toString());
					if (update.selectionSet || update.docChanged) options.onCursor(update.state.selection.main.head);
				}),
			],
		}),
	});
	return {
		get: () => view.state.doc.toString(),
		set: text => {
			const old = view.state.doc.toString();
			if (old === text) return;
			// The smallest stretch that differs, so that the cursor and what is folded stay.
			let a = 0, b = 0;
			while (a < old.length && a < text.length && old[a] === text[a]) a++;
			while (b < old.length - a && b < text.length - a && old[old.length - 1 - b] === text[text.length - 1 - b]) b++;
			view.dispatch({ changes: { from: a, to: old.length - b, insert: text.slice(a, text.length - b) } });
		},
		edit: fix => view.dispatch({ changes: { from: fix.from, to: fix.to, insert: fix.replacement } }),
		base: text => view.dispatch({ effects: setBase.of(text) }),
		faults: list => view.dispatch({ effects: setFaults.of(list) }),
		readOnly: on => view.dispatch({ effects: readOnly.reconfigure(isReadOnly(on)) }),
		go: n => { const line = view.state.doc.line(Math.max(1, Math.min(n, view.state.doc.lines))); view.dispatch({ selection: { anchor: line.from + /^\s*/.exec(line.text)![0].length }, effects: EditorView.scrollIntoView(line.from, { y: 'center' }) }); view.focus(); },
		cursor: () => view.state.selection.main.head,
		focus: () => view.focus(),
		find: () => { openSearchPanel(view); },
		nextProblem: () => { nextProblem(view); },
		destroy: () => view.destroy(),
	};
}
