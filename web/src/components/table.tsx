import type { ComponentChildren } from 'preact';

export type Column<T> = {
	head: string;                                   // '' for the last column, which holds the row's menu
	cell: (row: T) => ComponentChildren;
	number?: boolean;
	sort?: { on: 'ascending' | 'descending' | undefined; by: () => void };
};

/** A plain table of up to some hundred rows, which stacks on a phone: the first column is the row's name, an unnamed last one its menu. */
export function Table<T>({ label, columns, rows, keyOf, selected }: {
	label: string; columns: Column<T>[]; rows: T[]; keyOf: (row: T) => string; selected?: (row: T) => boolean;
}) {
	return (
		<table class="table" data-stack aria-label={label}>
			<thead><tr>{columns.map(column => (
				<th key={column.head} scope="col" class={column.number ? 'number' : undefined} aria-sort={column.sort?.on}>
					{column.sort ? <button type="button" class="sort" onClick={column.sort.by}>{column.head}<svg class="icon" aria-hidden="true"><use href="#i-down" /></svg></button>
						: column.head || <span class="visually-hidden">Actions</span>}
				</th>
			))}</tr></thead>
			<tbody>{rows.map(row => (
				<tr key={keyOf(row)} aria-selected={selected?.(row) || undefined}>{columns.map((column, i) => {
					const inner = column.cell(row);
					if (i === 0) return <th key={column.head} scope="row">{inner}</th>;
					if (!column.head) return <td key="menu" class="end">{inner}</td>;
					const nothing = inner === '' || inner === null || inner === undefined || inner === false;
					return <td key={column.head} class={column.number ? 'number' : 'muted'} data-label={column.head}>{!nothing && <span>{inner}</span>}</td>;
				})}</tr>
			))}</tbody>
		</table>
	);
}
