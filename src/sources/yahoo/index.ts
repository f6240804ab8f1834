/** Yahoo Finance's one-minute bars, or those of a server that speaks its chart API. */

export { DEFAULT_PATIENCE, type Patience } from './patience.ts';
export { earliestMinute, firstWholeSession, YAHOO_DAYS_KEPT } from './ranges.ts';
export { type YahooOptions, type YahooSource, yahooSource } from './source.ts';
