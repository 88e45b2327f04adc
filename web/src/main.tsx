import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Button, Notice } from './components/basics';
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

function App() {
	const [error, setError] = useState<ApiError | null>(null);
	const start = () => {
		loadMe().then(answer => {
			setError(null);
			startLive(answer.lastEvent);
			if (may('devices:core', 'read')) { void list.then(() => loadAttention()); }
			void loadRegions();
		}, problem => {
			if (problem instanceof ApiError && problem.status === 403) location.assign('/my');
			else setError(problem instanceof ApiError ? problem : new ApiError(String(problem), 0));
		});
	};
	useEffect(start, []);
	if (error) return <main class="page"><h1>{text.notLoaded}</h1><Notice tone="warn" alert actions={<Button label={text.tryAgain} size="small" onClick={start} />}>{error.message}</Notice></main>;
	return me.value ? <Shell /> : null;
}

render(<App />, document.getElementById('app')!);
