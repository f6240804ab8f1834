/** A model that answers: a description and weights on a kernel. */

import type { MarketBars } from '../bars/index.ts';
import { BarcastError } from '../base/index.ts';
import {
  buildWindows,
  type FittedScaler,
  fillMarket,
  kernelWindows,
  type Recipe,
  rangeOfWindows,
  recipeOf,
  type WindowOptions,
  type WindowSet,
} from '../features/index.ts';
import { type Kernel, type KernelNetwork, outputsOf } from '../kernel/index.ts';
import { applyCalibration, type Predictions } from './calibration.ts';
import type { ModelDescription } from './description.ts';

/** Windows a kernel is handed at once when there are many: bounds its memory and lets other work in between. */
const CHUNK = 16_384;

export class Model {
  readonly description: ModelDescription;
  readonly #network: KernelNetwork;
  #kernel: Kernel | undefined;

  private constructor(description: ModelDescription, network: KernelNetwork) {
    this.description = description;
    this.#network = network;
  }

  /** @throws BARCAST_E_SHAPE when the weights are not those of the shape */
  static async open(description: ModelDescription, weights: Float32Array, kernel: Kernel): Promise<Model> {
    return new Model(description, await kernel.createNetwork(description.shape, weights));
  }

  /** Makes the model close this kernel, opened for it alone, when it is closed. */
  owning(kernel: Kernel): this {
    this.#kernel = kernel;
    return this;
  }

  get name(): string {
    return this.description.name;
  }

  get version(): string {
    return this.description.version;
  }

  get weightsHash(): string {
    return this.description.weightsHash;
  }

  /** How bars become its windows. @throws BARCAST_E_MODEL_FORMAT for an imported network, which has no recipe */
  get recipe(): Recipe {
    return recipeOf(this.#forecasting().recipe.name);
  }

  get horizonMinutes(): number {
    return this.recipe.horizonMinutes;
  }

  get scaler(): FittedScaler {
    return this.#forecasting().scaler;
  }

  /** Nominal coverage of its intervals. */
  get level(): number {
    return this.#forecasting().calibration.level;
  }

  #forecasting(): Required<Pick<ModelDescription, 'recipe' | 'scaler' | 'calibration'>> {
    const { recipe, scaler, calibration } = this.description;
    if (!recipe || !scaler || !calibration) {
      throw new BarcastError(
        'BARCAST_E_MODEL_FORMAT',
        `model '${this.name}' is a bare network without recipe and scalers`,
        'call forward() with inputs that are already scaled, or train a model',
      );
    }
    return { recipe, scaler, calibration };
  }

  /**
   * The bare network.
   * @param x `[B, T, F]`, already scaled
   * @returns `[B, O]`; `[B]` for one output
   * @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE
   */
  forward(x: Float32Array, batch: number): Promise<Float32Array> {
    const { windowLength, features } = this.description.shape;
    if (!Number.isInteger(batch) || batch < 0 || x.length !== batch * windowLength * features) {
      throw new BarcastError(
        'BARCAST_E_SHAPE',
        `${x.length} numbers are not [${batch}, ${windowLength}, ${features}]`,
        `pass ${windowLength} x ${features} numbers a sequence`,
      );
    }
    return this.#network.forward({
      matrix: x,
      starts: Int32Array.from({ length: batch }, (_, b) => b * windowLength),
      shift: new Float32Array(features),
      gain: new Float32Array(features).fill(1),
      scaleStride: 0,
    });
  }

  /** The model's windows over a market, scaled and ready for {@link predict}. */
  windows(bars: MarketBars, options: WindowOptions): WindowSet {
    const { recipe } = this;
    const { scaler } = this.#forecasting();
    const windows = buildWindows(bars, recipe, options);
    fillMarket(windows, recipe, scaler, bars);
    return recipe.scale(windows, scaler);
  }

  /** Network outputs `[N, O]` of scaled windows. */
  async outputs(windows: WindowSet): Promise<Float32Array> {
    return networkOutputs(this.#network, windows);
  }

  /** Forecasts of windows that are already scaled (by {@link windows} or a LiveMarket). */
  async predict(windows: WindowSet): Promise<Predictions> {
    const { scaler, calibration } = this.#forecasting();
    return applyCalibration(this.recipe.decode(await this.outputs(windows), windows, scaler), windows, calibration);
  }

  /** A copy of its weights, `[P]`, laid out as `parametersOf` says. */
  readWeights(): Promise<Float32Array> {
    return this.#network.readWeights();
  }

  close(): void {
    this.#network.close();
    this.#kernel?.close();
  }
}

/** Outputs `[N, O]` of any number of windows, in chunks. */
export async function networkOutputs(network: KernelNetwork, windows: WindowSet): Promise<Float32Array> {
  const count = windows.starts.length;
  if (count <= CHUNK) return network.forward(kernelWindows(windows));
  const outputs = outputsOf(network.shape);
  const all = new Float32Array(count * outputs);
  for (let from = 0; from < count; from += CHUNK) {
    const chunk = rangeOfWindows(windows, from, Math.min(count, from + CHUNK));
    all.set(await network.forward(kernelWindows(chunk)), from * outputs);
  }
  return all;
}
