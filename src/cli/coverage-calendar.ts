/** Coverage as a calendar in plain text: a week a line, Monday to Friday, each day's share of its session minutes. */
import { dayNumberOfDay, dayOfNumber, sessionOf, weekdayOf } from '../bars/index.ts';
import type { DayString } from '../base/index.ts';

/** Weeks shown at most; the last ones. */
const WEEKS = 60;

/**
 * Lines of a calendar. A dot is a day without a session, a dash one that lies outside of what is told, and a share is in
 * percent, rounded down so that 100 means whole.
 */
export function coverageCalendar(days: readonly { readonly day: DayString; readonly share: number }[]): string[] {
  if (days.length === 0) return [];
  const shares = new Map(days.map(({ day, share }) => [day, share]));
  const first = dayNumberOfDay(days[0]!.day);
  const last = dayNumberOfDay(days.at(-1)!.day);
  const monday = (day: number) => day - ((weekdayOf(day) + 6) % 7);
  const lines: string[] = [];
  for (let week = monday(first); week <= monday(last); week += 7) {
    const cells = [0, 1, 2, 3, 4].map((offset) => {
      const day = dayOfNumber(week + offset);
      const share = shares.get(day);
      if (share !== undefined) return String(Math.floor(100 * share + 1e-9));
      return sessionOf(day) === undefined ? '·' : '-';
    });
    lines.push(`  ${dayOfNumber(week)}${cells.map((cell) => cell.padStart(5)).join('')}`);
  }
  const shown = lines.slice(-WEEKS);
  return [
    `  ${'week of'.padEnd(10)}${['Mo', 'Tu', 'We', 'Th', 'Fr'].map((name) => name.padStart(5)).join('')}`,
    ...(shown.length < lines.length ? [`  … ${lines.length - shown.length} weeks before`] : []),
    ...shown,
  ];
}
