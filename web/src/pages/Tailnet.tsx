import { useEffect } from 'preact/hooks';
import { Empty, LinkButton, PageHead, Skeletons } from '../components/basics';
import { go, href, place } from '../data/router';
import { me } from '../data/store';
import type { PageProps } from '../shell/nav';
import { text } from '../text/shell';

/** /t/default/routes?q=x → /routes?q=x: a server's only tailnet has no prefix. */
export default function Tailnet({ params }: PageProps) {
	const tailnet = me.value?.tailnet, name = decodeURIComponent(params.tailnet ?? ''), here = tailnet && [tailnet.name, tailnet.id, tailnet.domain, '-'].includes(name);
	useEffect(() => { if (here) go(`/${params.rest || 'machines'}${place.value.query.size ? `?${place.value.query}` : ''}`, { replace: true }); }, [here]);
	return <div class="page">{here ? <Skeletons /> : <><PageHead title={text.noTailnet(name)} /><Empty title={text.noTailnet(name)} actions={<LinkButton label={text.toMachines} href={href('/machines')} />}>{text.noTailnetText}</Empty></>}</div>;
}
