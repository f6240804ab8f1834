/** Bars: what a bar is, symbols, the exchange's calendar, flaws and gaps. Uses `base` alone. */
export * from './bar.ts';
export * from './calendar.ts';
export { dayNumberOfDay, dayOfNumber, newYorkOffsetMinutes, weekdayOf } from './civil.ts';
export { UNSCHEDULED_CLOSURES } from './exchange-days.ts';
export * from './gaps.ts';
export * from './sp500.ts';
export * from './symbols.ts';
