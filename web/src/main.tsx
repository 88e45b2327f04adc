import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failed } from './components/overlays';
import { ApiError } from './data/api';
import { startLive } from './data/live';
import { startTheme } from './data/prefs';
import { startRouter } from './data/router';
import { loadAttention, loadMachines, loadMe, loadRegions, may, me } from './data/store';
import { startClock } from './data/time';
import { startKeys } from './shell/keys';
import { Shell } from './shell/Shell';
import { text } from './text/shell';

startTheme();
startRouter();
startKeys();
startClock();

// Who I am and the first list are asked for at the same time; the shell shows itself with the first.
const list = loadMachines();

const ATTENTION_MS = 60_000;

function App() {
	const [error, setError] = useState<ApiError | null>(null), [retryAt, setRetryAt] = useState(0), tries = useRef(0);
	const timer = useRef(0);
	const start = () => {
		clearTimeout(timer.current);
		loadMe().then(answer => {
			setError(null);
			startLive(answer.lastEvent);
			if (may('devices:core', 'read')) { void list.then(() => loadAttention()); setInterval(() => { if (!document.hidden) void loadAttention(); }, ATTENTION_MS); } // some things come with time, not with an event
			void loadRegions();
		}, problem => {
			if (problem instanceof ApiError && problem.status === 403) location.assign('/my');
			else {
				const known = problem instanceof ApiError ? problem : new ApiError(String(problem), 0), wait = Math.max(known.retryAfter, Math.min(30, 2 ** ++tries.current)) * 1000;
				setError(known);
				setRetryAt(Date.now() + wait);
				clearTimeout(timer.current);
				timer.current = window.setTimeout(start, wait);
			}
		});
	};
	useEffect(start, []);
	if (error) return <main class="page"><h1>{text.notLoaded}</h1><Failed what={text.theConsole} error={error} retryAt={retryAt} onRetry={start} /></main>;
	return me.value ? <Shell /> : null;
}

render(<App />, document.getElementById('app')!);
