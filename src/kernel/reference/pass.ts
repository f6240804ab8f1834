/**
 * One pass of a whole network over a block of up to eight sequences: inputs scaled, LSTM layers, dropout, dense
 * layers; and back. Eight keep the scratch memory small (T * H * 56 float64 numbers a layer); a tile is four blocks.
 */
import { dropoutWord } from '../dropout.ts';
import { columnsOf, type NetworkShape, type TrainingBatch, type Windows } from '../kernel.ts';
import { outputLoss, outputSlope } from '../loss.ts';
import { outputsOf, parametersOf } from '../parameters.ts';
import { DenseLayer } from './dense.ts';
import { LstmLayer } from './lstm.ts';

/** Sequences a block. */
export const BLOCK = 8;

export class NetworkPass {
  readonly #shape: NetworkShape;
  readonly #lstm: readonly LstmLayer[];
  readonly #dense: readonly DenseLayer[];
  /** `[T, n, F]` scaled inputs */
  readonly #input: Float64Array;
  /** `[n, H]` dropout multipliers of the last hidden state: 0 or 1 / (1 - dropout) */
  readonly #mask: Float64Array;
  /** `[n, H]` the last hidden state after dropout, and its loss gradient */
  readonly #state: Float64Array;
  readonly #stateGradient: Float64Array;

  constructor(shape: NetworkShape) {
    this.#shape = shape;
    const offsets = new Map(parametersOf(shape).map(({ name, offset }) => [name, offset]));
    const at = (name: string) => offsets.get(name)!;
    let inputs = shape.features;
    this.#lstm = shape.lstm.map((units, l) => {
      const layer = new LstmLayer(inputs, units, shape.windowLength, BLOCK, {
        kernel: at(`lstm.${l}.kernel`),
        recurrent: at(`lstm.${l}.recurrent`),
        bias: at(`lstm.${l}.bias`),
      });
      inputs = units;
      return layer;
    });
    this.#mask = new Float64Array(BLOCK * inputs);
    this.#state = new Float64Array(BLOCK * inputs);
    this.#stateGradient = new Float64Array(BLOCK * inputs);
    this.#dense = shape.dense.map(({ units, activation }, d) => {
      const layer = new DenseLayer(inputs, units, activation, BLOCK, {
        kernel: at(`dense.${d}.kernel`),
        bias: at(`dense.${d}.bias`),
      });
      inputs = units;
      return layer;
    });
    this.#input = new Float64Array(shape.windowLength * BLOCK * shape.features);
  }

  /** Outputs of sequences `first` to `first + n` of the windows, without dropout, into `outputs [B, O]`. */
  forward(weights: Float64Array, windows: Windows, first: number, n: number, outputs: Float32Array): void {
    this.#mask.fill(1);
    this.#run(weights, windows, first, n);
    const { output, units } = this.#dense[this.#dense.length - 1];
    for (let i = 0; i < n * units; i++) outputs[first * units + i] = output[i];
  }

  /**
   * Adds the gradients of sequences `first` to `first + n` of the batch to `gradients [P + 1]`, their losses to its
   * last element.
   */
  gradient(weights: Float64Array, batch: TrainingBatch, first: number, n: number, gradients: Float64Array): void {
    this.#drawMask(batch, first, n);
    this.#run(weights, batch, first, n);
    this.#differentiateLoss(batch, first, n, gradients);
    for (let d = this.#dense.length - 1; d >= 0; d--) {
      const input = d > 0 ? this.#dense[d - 1].output : this.#state;
      const inputGradient = d > 0 ? this.#dense[d - 1].outputGradient : this.#stateGradient;
      this.#dense[d].backward(weights, input, n, gradients, inputGradient);
    }
    this.#spreadStateGradient(n);
    for (let l = this.#lstm.length - 1; l >= 0; l--) {
      if (l === 0) {
        this.#lstm[0].backward(weights, this.#input, n, gradients);
      } else {
        const below = this.#lstm[l - 1];
        below.hiddenGradient.fill(0, 0, this.#shape.windowLength * n * below.units);
        this.#lstm[l].backward(weights, below.hidden, n, gradients, below.hiddenGradient);
      }
    }
  }

  #run(weights: Float64Array, windows: Windows, first: number, n: number): void {
    this.#load(windows, first, n);
    let input = this.#input;
    for (const layer of this.#lstm) {
      layer.forward(weights, input, n);
      input = layer.hidden;
    }
    const { units } = this.#lstm[this.#lstm.length - 1];
    const last = (this.#shape.windowLength - 1) * n * units;
    for (let i = 0; i < n * units; i++) this.#state[i] = input[last + i] * this.#mask[i];
    input = this.#state;
    for (const layer of this.#dense) {
      layer.forward(weights, input, n);
      input = layer.output;
    }
  }

  /** Scaled inputs, each step rounded to float32 as `kernel.ts` states. */
  #load(windows: Windows, first: number, n: number): void {
    const { matrix, starts, shift, gain, scaleStride } = windows;
    const { windowLength, features } = this.#shape;
    const columns = columnsOf(windows, features);
    for (let s = 0; s < n; s++) {
      const from = starts[first + s] * columns;
      const scaleAt = (first + s) * scaleStride;
      for (let t = 0; t < windowLength; t++) {
        const to = (t * n + s) * features;
        for (let f = 0; f < features; f++) {
          const raw = f < columns ? matrix[from + t * columns + f] : 1;
          const centred = Math.fround(raw - shift[scaleAt + f]);
          this.#input[to + f] = Math.fround(centred * gain[scaleAt + f]);
        }
      }
    }
  }

  #drawMask(batch: TrainingBatch, first: number, n: number): void {
    const { dropout } = this.#shape;
    if (dropout === 0) {
      this.#mask.fill(1);
      return;
    }
    const threshold = Math.round(dropout * 2 ** 32);
    const kept = Math.fround(1 / (1 - dropout));
    const { units } = this.#lstm[this.#lstm.length - 1];
    for (let s = 0; s < n; s++) {
      const sequence = batch.firstSequence + first + s;
      for (let unit = 0; unit < units; unit++) {
        const dropped = dropoutWord(batch.dropoutSeed, batch.step, sequence, unit) < threshold;
        this.#mask[s * units + unit] = dropped ? 0 : kept;
      }
    }
  }

  /** Adds the losses to the last element of `gradients` and sets the last layer's output gradient. */
  #differentiateLoss(batch: TrainingBatch, first: number, n: number, gradients: Float64Array): void {
    const outputs = outputsOf(this.#shape);
    const { output, outputGradient } = this.#dense[this.#dense.length - 1];
    let sum = 0;
    for (let i = 0; i < n * outputs; i++) {
      const target = batch.targets[first * outputs + i];
      sum += outputLoss(batch.loss, i % outputs, output[i], target);
      outputGradient[i] = outputSlope(batch.loss, i % outputs, output[i], target) / outputs;
    }
    gradients[gradients.length - 1] += sum / outputs;
  }

  /** The top LSTM layer hears from above at its last step alone, through the dropout mask. */
  #spreadStateGradient(n: number): void {
    const { hiddenGradient, units } = this.#lstm[this.#lstm.length - 1];
    const last = (this.#shape.windowLength - 1) * n * units;
    hiddenGradient.fill(0, 0, last);
    for (let i = 0; i < n * units; i++) hiddenGradient[last + i] = this.#stateGradient[i] * this.#mask[i];
  }
}
