/**
 * The exchange's clock: real time, or faster, and on demand without the hours in which nothing trades.
 */

import { nextSession } from '../../bars/index.ts';
import { BarcastError, type Clock, type EpochMs, MS_PER_MINUTE, msToMinute } from '../../base/index.ts';

export interface ExchangeClockOptions {
  /** What the clock says at its start; default the system's time. */
  readonly now?: EpochMs;
  /** Market seconds in a real second; default 1. */
  readonly speed?: number;
  /** Skips from two minutes after a close to a minute before the next open. */
  readonly skipClosed?: boolean;
}

const AFTER_CLOSE_MS = 2 * MS_PER_MINUTE;
const BEFORE_OPEN_MS = MS_PER_MINUTE;

export interface ExchangeClock extends Clock {
  readonly speed: number;
}

/**
 * @param realNow milliseconds of a steady real clock; for tests
 * @throws BARCAST_E_USAGE for a speed that is not positive
 */
export function exchangeClock(options: ExchangeClockOptions = {}, realNow = () => performance.now()): ExchangeClock {
  const speed = options.speed ?? 1;
  if (!(speed > 0 && speed <= 1e6)) {
    throw new BarcastError('BARCAST_E_USAGE', `${speed} is not a speed`, 'use a number above 0, 1 for real time');
  }
  let market: number = options.now ?? Date.now();
  let real = realNow();
  return {
    speed,
    now() {
      const at = realNow();
      market += (at - real) * speed;
      real = at;
      if (options.skipClosed === true) market = skipClosed(market);
      return Math.floor(market) as EpochMs;
    },
  };
}

/** The instant itself inside a session and close around it; otherwise as far into the time before the next open. */
function skipClosed(market: number): number {
  for (let at = market; ; ) {
    const recent = nextSession(msToMinute((at - AFTER_CLOSE_MS) as EpochMs));
    const starts = recent.open * MS_PER_MINUTE - BEFORE_OPEN_MS;
    if (at >= starts) return at;
    at = starts;
  }
}
