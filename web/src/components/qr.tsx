import { useMemo } from 'preact/hooks';
import { qr, qrPath } from '../data/qr';

export function Qr({ text, label }: { text: string; label: string }) {
	const [size, path] = useMemo(() => { const grid = qr(text); return [grid.length, qrPath(grid)]; }, [text]);
	return <svg class="qr" viewBox={`0 0 ${size} ${size}`} shape-rendering="crispEdges" role="img" aria-label={label}><path d={path} /></svg>;
}
