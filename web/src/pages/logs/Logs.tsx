import { LinkButton, PageHead, Tabs } from '../../components/basics';
import { MenuButton } from '../../components/overlays';
import { apiUrl } from '../../data/api';
import { href, place } from '../../data/router';
import { may } from '../../data/store';
import type { PageProps } from '../../shell/nav';
import { text } from '../../text/logs';
import Changes, { filterOf } from './Changes';
import Connections from './Connections';
import ServerLog from './ServerLog';
import SignIns from './SignIns';

export default function Logs({ params }: PageProps) {
	const log = params.log ?? 'changes', keep = place.value.query.get('span');
	const to = (name: string) => href(`/logs/${name}${keep ? `?span=${keep}` : ''}`);
	const seen = [...(may('logs:configuration', 'read') ? ['changes'] : []), ...(may('devices:core', 'read') ? ['connections'] : []), ...(may('logs:configuration', 'read') ? ['signins'] : []), ...(may('all') ? ['server'] : [])];
	const download = (format: string) => apiUrl(`/audit/export${filterOf(place.value.query, { format })}`);
	return (
		<div class="page">
			<PageHead title={text.title} actions={log === 'changes' ? <MenuButton label={text.export} kind="plain" icon="down" iconOnly={false} items={() => [
				{ text: 'NDJSON, one record a line', run: () => location.assign(download('ndjson')) }, { text: 'CSV, for a spreadsheet', run: () => location.assign(download('csv')) },
			]} /> : undefined} />
			<Tabs label={text.title} items={seen.map(name => ({ text: text.tabs[name]!, href: to(name), on: name === log }))} />
			{log === 'connections' ? <Connections /> : log === 'signins' ? <SignIns /> : log === 'server' && seen.includes('server') ? <ServerLog /> : seen.includes('changes') ? <Changes /> : <p>Your role may not read this log. <LinkButton label="Machines" href={href('/machines')} /></p>}
		</div>
	);
}
