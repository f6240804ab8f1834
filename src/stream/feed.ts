/**
 * From a source of bars to a bus, until the source ends. A source that fails for a reason that may pass (the network, a
 * rate limit, a garbled answer) is started again after a pause that doubles from one second to a minute; bars it repeats
 * then are recognised and left out.
 */
import { type BarcastError, type ErrorCode, toBarcastError } from '../base/index.ts';
import type { LiveSource } from '../sources/index.ts';
import type { Bus } from './bus.ts';
import { type Pace, realPace } from './replay.ts';
import type { SourceStatus } from './state.ts';

export interface FeedOptions {
  readonly source: LiveSource;
  readonly symbols: readonly string[];
  readonly bus: Bus;
  /** Stops the feed. */
  readonly signal: AbortSignal;
  /** Told of a source that failed and is tried again, one line each. */
  readonly notice?: (line: string) => void;
  readonly onStatus?: (status: SourceStatus) => void;
  /** Told of every batch that was handed over. */
  readonly onBars?: (bars: number) => void;
  readonly pace?: Pace;
}

const MAY_PASS: ReadonlySet<ErrorCode> = new Set([
  'BARCAST_E_NETWORK',
  'BARCAST_E_RATE_LIMITED',
  'BARCAST_E_SOURCE_FORMAT',
]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** Publishes what the source yields until it ends or the signal aborts. @throws what will not pass, BARCAST_E_BUS */
export async function feedBars(options: FeedOptions): Promise<void> {
  const { source, symbols, bus, signal, notice, onStatus = () => {}, onBars, pace = realPace } = options;
  const { name } = source;
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      onStatus({ name, state: 'running', detail: null });
      for await (const bars of source.live(symbols, signal)) {
        pauseMs = FIRST_PAUSE_MS;
        await bus.publish('bars', bars);
        onBars?.(bars.length);
        if (signal.aborted) break;
      }
      const detail = signal.aborted ? 'stopped' : 'it has no more bars';
      onStatus({ name, state: 'ended', detail });
      return;
    } catch (error) {
      const failure = toBarcastError(error);
      if (signal.aborted) return onStatus({ name, state: 'ended', detail: 'stopped' });
      if (!MAY_PASS.has(failure.code)) {
        onStatus({ name, state: 'failed', detail: failure.line });
        throw failure;
      }
      onStatus({ name, state: 'retrying', detail: failure.line });
      notice?.(retryLine(name, failure, pauseMs));
      await pace.sleep(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
  onStatus({ name, state: 'ended', detail: 'stopped' });
}

const retryLine = (name: string, failure: BarcastError, pauseMs: number): string =>
  `the source of bars (${name}) failed and is tried again in ${pauseMs / 1000} s: ${failure.line}`;
