import { useEffect } from 'preact/hooks';
import { Empty, Skeletons } from '../../components/basics';
import { go } from '../../data/router';
import { machineList, machines } from '../../data/store';
import type { PageProps } from '../../shell/nav';
import { text } from '../../text/machines';

/** /machines/by-name/db-primary → /machines/21 */
export default function ByName({ params }: PageProps) {
	const found = machineList.value.find(m => m.name === params.name);
	useEffect(() => { if (found) go(`/machines/${found.id}`, { replace: true }); }, [found?.id]);
	return <div class="page">{machines.value.loaded && !found ? <Empty title={text.gone}>{text.goneText}</Empty> : <Skeletons />}</div>;
}
