/** Runs of connected time as [start, end] in the units of the strip. */
export type Run = [number, number];

/** A short run is drawn wide enough to be seen. */
export const Presence = ({ runs, units, label, large }: { runs: Run[]; units: number; label: string; large?: boolean }) => (
	<svg class="presence" data-size={large ? 'large' : undefined} viewBox={`0 0 ${units} 12`} preserveAspectRatio="none" role="img" aria-label={label}>
		<rect class="off" width={units} height="12" />
		{runs.map(([a, b]) => { const w = Math.max(b - a, units / 60); return <rect key={a} class="on" x={Math.min(a, units - w)} width={w} height="12" />; })}
	</svg>
);

export const Meter = ({ value, max, best }: { value: number; max: number; best?: boolean }) => (
	<svg class="bar" data-best={best || undefined} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
		<rect class="track" width="100" height="6" /><rect class="value" width={Math.round(value / max * 100)} height="6" />
	</svg>
);

/** Values over time, oldest first. */
export function Sparkline({ values, label }: { values: number[]; label: string }) {
	const top = Math.max(...values, 1), step = 120 / Math.max(values.length - 1, 1);
	const line = values.map((v, i) => `${(i * step).toFixed(1)} ${(19 - v / top * 17).toFixed(1)}`).join('L');
	return (
		<svg class="sparkline" viewBox="0 0 120 20" preserveAspectRatio="none" role="img" aria-label={label}>
			<path class="area" d={`M0 20L${line}L120 20z`} /><path d={`M${line}`} />
		</svg>
	);
}
