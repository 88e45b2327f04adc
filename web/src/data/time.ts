import { signal } from '@preact/signals';

/** Moves every half minute: "4 min ago" and presence strips stay true without events. */
export const now = signal(Date.now());
let skew = 0; // server clock minus ours
export const setServerTime = (ms: number): void => { skew = ms - Date.now(); now.value = Date.now() + skew; };
export const serverNow = (): number => Date.now() + skew;
export function startClock(): void { setInterval(() => { if (!document.hidden) now.value = serverNow(); }, 30_000); document.addEventListener('visibilitychange', () => { if (!document.hidden) now.value = serverNow(); }); }

const MINUTE = 60_000, HOUR = 3_600_000, DAY = 86_400_000;
const two = (n: number) => String(n).padStart(2, '0');
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'], MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const LONG_DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const LONG_MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];

const at = (time: number | string | null | undefined): number => typeof time === 'number' ? time : time ? Date.parse(time) : 0;

/** Relative up to a day, then a date: "4 min ago", "3 h ago", "Tue", "2 Sep", "2 Sep 2025". */
export function ago(time: number | string | null | undefined, nowMs = now.value): string {
	const ms = at(time);
	if (!ms) return 'never';
	const d = nowMs - ms;
	if (d < MINUTE) return 'now';
	if (d < HOUR) return `${Math.floor(d / MINUTE)} min ago`;
	if (d < DAY) return `${Math.floor(d / HOUR)} h ago`;
	const date = new Date(ms);
	if (d < 6 * DAY) return DAYS[date.getDay()]!;
	return day(ms, nowMs);
}
export function day(time: number | string | null | undefined, nowMs = now.value): string {
	const date = new Date(at(time));
	return `${date.getDate()} ${MONTHS[date.getMonth()]}${date.getFullYear() === new Date(nowMs).getFullYear() ? '' : ` ${date.getFullYear()}`}`;
}
/** "in 2 d", "in 5 h" */
export function until(time: number | string | null | undefined, nowMs = now.value): string {
	const d = at(time) - nowMs;
	if (d <= 0) return 'now';
	return `in ${span(d)}`;
}
export function span(ms: number): string {
	if (ms < MINUTE) return `${Math.max(1, Math.round(ms / 1000))} s`;
	if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
	if (ms < 2 * DAY) return `${Math.round(ms / HOUR)} h`;
	return `${Math.round(ms / DAY)} d`;
}
/** "2 days", "4 hours" */
export function spanLong(ms: number): string {
	const n = (value: number, unit: string) => `${value} ${unit}${value === 1 ? '' : 's'}`;
	if (ms < MINUTE) return n(Math.max(1, Math.round(ms / 1000)), 'second');
	if (ms < HOUR) return n(Math.round(ms / MINUTE), 'minute');
	if (ms < 2 * DAY) return n(Math.round(ms / HOUR), 'hour');
	return n(Math.round(ms / DAY), 'day');
}
export const clock = (time: number | string): string => { const d = new Date(at(time)); return `${two(d.getHours())}:${two(d.getMinutes())}`; };
export const full = (time: number | string | null | undefined): string => { const ms = at(time); if (!ms) return ''; const d = new Date(ms); return `${DAYS[d.getDay()]} ${d.getDate()} ${MONTHS[d.getMonth()]} ${d.getFullYear()}, ${clock(ms)}:${two(d.getSeconds())}`; };
/** Headings of days in logs: "Today", "Yesterday", "Tuesday 17 November". */
export function dayHead(time: number | string, nowMs = now.value): string {
	const date = new Date(at(time)), start = (ms: number) => new Date(ms).setHours(0, 0, 0, 0);
	const days = Math.round((start(nowMs) - start(date.getTime())) / DAY);
	if (days === 0) return 'Today';
	if (days === 1) return 'Yesterday';
	return `${LONG_DAYS[date.getDay()]} ${date.getDate()} ${LONG_MONTHS[date.getMonth()]}${date.getFullYear() === new Date(nowMs).getFullYear() ? '' : ` ${date.getFullYear()}`}`;
}
/** "today 08:12", "Tue 16:40", "3 Nov" */
export function when(time: number | string | null | undefined, nowMs = now.value): string {
	const ms = at(time);
	if (!ms) return 'never';
	const head = dayHead(ms, nowMs);
	if (head === 'Today') return `today ${clock(ms)}`;
	if (nowMs - ms < 6 * DAY) return `${DAYS[new Date(ms).getDay()]} ${clock(ms)}`;
	return day(ms, nowMs);
}

/** "1.4 MB", "812 KB". */
export function bytes(n: number): string {
	if (n < 1024) return `${n} B`;
	const units = ['KB', 'MB', 'GB', 'TB'];
	let i = -1;
	do { n /= 1024; i++; } while (n >= 999.5 && i < units.length - 1);
	return `${n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
