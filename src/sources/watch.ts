/** Keeping a store up to date: one ingest now, and one after every session. */
import { nextSession, type Session } from '../bars/index.ts';
import { BarcastError, type Clock, MS_PER_MINUTE, minuteToMs, msToMinute } from '../base/index.ts';
import { steadyClock } from './limiter.ts';

/** After a close, in market time: the last minutes and the closing print have come by then. */
const AFTER_CLOSE_MS = 20 * MS_PER_MINUTE;
/** After a failure, in real time. */
const RETRY_MS = 5 * MS_PER_MINUTE;
/** A clock may be told anew, or a machine have slept: nobody sleeps longer, in market time but for the least. */
const LONGEST_SLEEP_MS = 30_000;
const SHORTEST_SLEEP_MS = 200;

export interface WatchedSource {
  readonly clock: Clock & { readonly speed?: number };
  sync(signal?: AbortSignal): Promise<void>;
}

/**
 * Runs `update` at once and then some minutes after every close, until the signal aborts. A failed one is told to `failed`
 * and tried again a few minutes later; one that failed for wrong words ends it.
 * @param next told of the session that is waited for
 */
export async function afterEverySession(options: {
  readonly source: WatchedSource;
  readonly update: () => Promise<void>;
  readonly failed: (error: BarcastError) => void;
  readonly next: (session: Session) => void;
  readonly signal: AbortSignal;
  readonly retryMs?: number;
}): Promise<void> {
  const { source, update, failed, next, signal, retryMs = RETRY_MS } = options;
  while (!signal.aborted) {
    try {
      await update();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof BarcastError) || error.exitStatus === 2) throw error;
      failed(error);
      await steadyClock.sleep(retryMs, signal).catch(() => undefined);
      continue;
    }
    const session = nextSession(msToMinute(source.clock.now()));
    next(session);
    const due = minuteToMs(session.close) + AFTER_CLOSE_MS;
    for (let left = due - source.clock.now(); left > 0 && !signal.aborted; left = due - source.clock.now()) {
      const real = Math.max(SHORTEST_SLEEP_MS, Math.min(LONGEST_SLEEP_MS, left) / (source.clock.speed ?? 1));
      await steadyClock.sleep(real, signal).catch(() => undefined);
      if (!signal.aborted) await source.sync(signal).catch(() => undefined);
    }
  }
}
