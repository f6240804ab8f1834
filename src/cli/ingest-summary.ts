/** What an ingest did, for people: some lines, of which the last says what is still missing and why. */
import type { HistoryAnswer, IngestAnswer, StillMissing, TradeIngestAnswer } from '../sources/index.ts';

export const count = (value: number): string => value.toLocaleString('en-US');

/** Names in full up to this many. */
const NAMES = 12;
const names = (symbols: readonly string[]): string =>
  symbols.length <= NAMES
    ? symbols.join(', ')
    : `${symbols.slice(0, NAMES).join(', ')} and ${symbols.length - NAMES} more`;

const plural = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

function lastLine(missing: readonly StillMissing[]): string {
  if (missing.length === 0) return 'nothing is missing';
  const reasons = missing.map(({ reason, symbols, days }) => `${plural(days, 'day')} of ${names(symbols)} (${reason})`);
  return `still missing, and asked for by the same command again: ${reasons.join('; ')}`;
}

export function summaryOf(answer: IngestAnswer | HistoryAnswer | TradeIngestAnswer): string {
  const flaws = [
    [answer.duplicates, 'duplicates'],
    [answer.conflicts, 'of them conflicts'],
    [answer.revisions, 'revisions'],
    [answer.nullBars, 'null bars'],
    [answer.zeroVolumeBars, 'bars without volume'],
    [answer.partialBars, 'partial bars refused'],
    [answer.misalignedBars, 'off-minute bars refused'],
    [answer.closingPrints, 'closing prints'],
    [answer.outOfSessionBars, 'bars outside the session'],
    [answer.invalidPriceBars, 'bars with impossible prices'],
  ] as const;
  const { share } = answer;
  const part = share === undefined ? '' : `rank ${share.rank} of ${share.size}: `;
  const lines = [
    `${part}${count(answer.symbols)} symbols, ${count(answer.rowsRead)} rows read, ${count(answer.rowsStored)} stored, ${count(answer.alreadyStored)} already there, ${answer.seconds.toFixed(1)} s`,
  ];
  const found = flaws.filter(([n]) => n > 0).map(([n, what]) => `${count(n)} ${what}`);
  if (found.length > 0) lines.push(`flaws: ${found.join(', ')}`);
  if ('trades' in answer) {
    const { trades, late, invalid, unknownConditions, cancelled, corrected, unmatched } = answer.trades;
    lines.push(
      `${count(trades)} trades: ${count(late)} too late, ${count(invalid)} impossible, ${count(unknownConditions)} of unknown conditions, ${count(cancelled)} cancelled, ${count(corrected)} corrected, ${count(unmatched)} corrections of trades that are not there`,
    );
  }
  if ('stillMissing' in answer) {
    const { unknown, notes, stillMissing, askedAgain, filledAgain } = answer;
    lines.push(...notes);
    if (askedAgain > 0)
      lines.push(
        `${plural(askedAgain, 'request')} for what may have been missing by mistake, which brought ${plural(filledAgain, 'bar')}`,
      );
    if (unknown.length > 0) lines.push(`not known to the source: ${unknown.join(', ')}`);
    lines.push(lastLine(stillMissing));
  }
  return lines.join('\n');
}
