/** What the benchmark of the stream forecasts: a random walk of every symbol, and a network that is not trained. */
import type { Bar, MarketBars } from '../src/bars/index.ts';
import { type EpochMinute, Random } from '../src/base/index.ts';
import { recipeOf } from '../src/features/index.ts';
import { initialWeights, type Kernel } from '../src/kernel/index.ts';
import { Model, plainCalibration } from '../src/model/index.ts';
import { type Forecast, makeForecasts } from '../src/stream/index.ts';

/** A random walk of each symbol, minute by minute. */
export class MadeUpMarket {
  readonly #random = new Random(1);
  readonly #prices: Float64Array;
  readonly #symbols: readonly string[];

  constructor(symbols: number) {
    this.#prices = new Float64Array(symbols).fill(100);
    this.#symbols = Array.from({ length: symbols }, (_, s) => `S${s}`);
  }

  minute(minute: EpochMinute): Bar[] {
    return this.#symbols.map((symbol, s) => {
      const open = this.#prices[s];
      const close = open * Math.exp(0.0005 * this.#random.normal());
      this.#prices[s] = close;
      const volume = Math.floor(1000 * this.#random.uniform());
      return { symbol, minute, open, high: Math.max(open, close), low: Math.min(open, close), close, volume };
    });
  }
}

const marketOf = (minutes: readonly Bar[][]): MarketBars => {
  const order = minutes[0].map((_, s) => s).sort((a, b) => (minutes[0][a].symbol < minutes[0][b].symbol ? -1 : 1));
  const bars = order.flatMap((s) => minutes.map((minute) => minute[s]));
  const column = (name: 'open' | 'high' | 'low' | 'close' | 'volume') => Float64Array.from(bars, (bar) => bar[name]);
  return {
    symbols: order.map((s) => minutes[0][s].symbol),
    offsets: Int32Array.from({ length: order.length + 1 }, (_, s) => s * minutes.length),
    minute: Int32Array.from(bars, (bar) => bar.minute),
    open: column('open'),
    high: column('high'),
    low: column('low'),
    close: column('close'),
    volume: column('volume'),
  };
};

/** The network of the recipe with an LSTM as wide as asked; the same weights wherever it is made. */
export async function untrainedModel(kernel: Kernel, units: number): Promise<Model> {
  const recipe = recipeOf('returns');
  const shape = { ...recipe.network, lstm: [units] };
  const { name, version } = recipe;
  const description = {
    format: 1 as const,
    name: 'bench',
    version: '1',
    recipe: { name, version },
    shape,
    scaler: {},
    calibration: plainCalibration(),
    weightsHash: 'untrained',
  };
  return Model.open(description, initialWeights(shape, 1), kernel);
}

/** The forecasts of the newest minute, made of the same bars on the path that training takes. */
export async function batchForecasts(model: Model, minutes: readonly Bar[][]): Promise<Forecast[]> {
  const asOfFrom = minutes.at(-1)![0].minute + 1;
  const windows = model.windows(marketOf(minutes), { requireTarget: false, asOfFrom });
  return makeForecasts(windows, await model.predict(windows), model, 0);
}
