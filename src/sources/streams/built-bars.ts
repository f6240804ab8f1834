/** Trades that a stream pushes, built into bars of the regular session. */
import { type Bar, sessionAt } from '../../bars/index.ts';
import { type Clock, type EpochMinute, type EpochMs, epochMinute } from '../../base/index.ts';
import { SymbolTable, TradeBatch } from '../trades/batch.ts';
import { TradeBuilder } from '../trades/builder.ts';

/** Trades whose time is so much beyond the clock's are refused. */
const AHEAD_MS = 10_000;

export class BuiltBars {
  readonly symbols = new SymbolTable();
  readonly batch = new TradeBatch(1024);
  readonly builder: TradeBuilder;

  readonly #ofTrades: boolean;

  /** @param options.ofTrades whether these are trades and no quotes: their number and average price mean something */
  constructor(clock: Clock, latenessMs: number, { ofTrades = false } = {}) {
    this.#ofTrades = ofTrades;
    this.builder = new TradeBuilder({
      latenessMs,
      corrections: true,
      notAfterMs: () => clock.now() + AHEAD_MS,
    });
  }

  /** Builds what is in the batch; bars of the minutes that ended `latenessMs` before now. */
  drain(now: EpochMs): Bar[] {
    this.builder.push(this.batch);
    this.batch.clear();
    this.builder.advance(now);
    if (this.builder.closedBars === 0) return [];
    const { count, symbol, minute, open, high, low, close, volume, tradeCount, vwap } = this.builder.drain();
    const bars: Bar[] = [];
    for (let i = 0; i < count; i++) {
      if (sessionAt(minute[i] as EpochMinute) === undefined) continue;
      bars.push({
        symbol: this.symbols.names[symbol[i]],
        minute: epochMinute(minute[i]),
        open: open[i],
        high: high[i],
        low: low[i],
        close: close[i],
        volume: volume[i],
        ...(this.#ofTrades ? { tradeCount: tradeCount[i], vwap: vwap[i] } : {}),
      });
    }
    return bars;
  }
}
