/** Bars built of trades, in columns that grow. */

/** Bars in columns, in the order in which they closed. */
export interface TradeBars {
  readonly count: number;
  /** Number of the symbol, as the trades have it. */
  readonly symbol: Int32Array;
  readonly minute: Int32Array;
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  /** Shares. */
  readonly volume: Float64Array;
  /** Trades that count in the volume. */
  readonly tradeCount: Float64Array;
  /** NaN where no trade that may set high and low has a size. */
  readonly vwap: Float64Array;
}

export class BarColumns implements TradeBars {
  count = 0;
  symbol: Int32Array;
  minute: Int32Array;
  open: Float64Array;
  high: Float64Array;
  low: Float64Array;
  close: Float64Array;
  volume: Float64Array;
  tradeCount: Float64Array;
  vwap: Float64Array;

  constructor(capacity: number) {
    const numbers = () => new Float64Array(capacity);
    this.symbol = new Int32Array(capacity);
    this.minute = new Int32Array(capacity);
    this.open = numbers();
    this.high = numbers();
    this.low = numbers();
    this.close = numbers();
    this.volume = numbers();
    this.tradeCount = numbers();
    this.vwap = numbers();
  }

  add(
    symbol: number,
    minute: number,
    open: number,
    high: number,
    low: number,
    close: number,
    volume: number,
    tradeCount: number,
    vwap: number,
  ): void {
    const at = this.count++;
    if (at === this.symbol.length) this.#grow();
    this.symbol[at] = symbol;
    this.minute[at] = minute;
    this.open[at] = open;
    this.high[at] = high;
    this.low[at] = low;
    this.close[at] = close;
    this.volume[at] = volume;
    this.tradeCount[at] = tradeCount;
    this.vwap[at] = vwap;
  }

  #grow(): void {
    const larger = new BarColumns(2 * this.symbol.length);
    for (const name of ['symbol', 'minute'] as const) larger[name].set(this[name]);
    for (const name of ['open', 'high', 'low', 'close', 'volume', 'tradeCount', 'vwap'] as const)
      larger[name].set(this[name]);
    const { count } = this;
    Object.assign(this, larger, { count });
  }
}
