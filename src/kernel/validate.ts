/**
 * What every kernel refuses, checked the same way before any of them computes.
 *
 * Array sizes and positions out of range are BARCAST_E_SHAPE, NaN and infinities BARCAST_E_NOT_FINITE, settings that
 * mean nothing BARCAST_E_USAGE. Each message names the array, what it has and what it needs. Nothing here changes
 * what it is given.
 */
import { BarcastError } from '../base/index.ts';
import type {
  GradientSums,
  Loss,
  NetworkShape,
  OptimizerSettings,
  OptimizerState,
  TrainingBatch,
  Windows,
} from './kernel.ts';
import { columnsOf, TILE } from './kernel.ts';
import { outputsOf } from './parameters.ts';

type NumberArrayType = typeof Float32Array | typeof Int32Array | typeof BigInt64Array;

function refuseShape(what: string, remedy: string): never {
  throw new BarcastError('BARCAST_E_SHAPE', what, remedy);
}

function refuseSetting(what: string, remedy: string): never {
  throw new BarcastError('BARCAST_E_USAGE', what, remedy);
}

function checkType(name: string, array: unknown, type: NumberArrayType): void {
  if (!(array instanceof type)) refuseShape(`${name} is not a ${type.name}`, `give a ${type.name}`);
}

function checkLength(name: string, array: { readonly length: number }, length: number, meaning: string): void {
  if (array.length !== length) {
    refuseShape(`${name} holds ${array.length} numbers`, `give ${length} (${meaning})`);
  }
}

function checkFinite(name: string, array: Float32Array): void {
  for (let i = 0; i < array.length; i++) {
    if (!Number.isFinite(array[i])) {
      throw new BarcastError('BARCAST_E_NOT_FINITE', `${name}[${i}] is ${array[i]}`, 'give finite numbers only');
    }
  }
}

/** `[P]` finite weights. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function checkWeights(weights: Float32Array, parameters: number): void {
  checkType('weights', weights, Float32Array);
  checkLength('weights', weights, parameters, 'one a parameter of this network');
  checkFinite('weights', weights);
}

/** Types, lengths and ranges of {@link Windows}, and finite scales; not the matrix's values. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function checkWindows(shape: NetworkShape, windows: Windows): void {
  const { matrix, starts, shift, gain, scaleStride } = windows;
  const { features, windowLength } = shape;
  checkType('matrix', matrix, Float32Array);
  checkType('starts', starts, Int32Array);
  checkType('shift', shift, Float32Array);
  checkType('gain', gain, Float32Array);
  const columns = columnsOf(windows, features);
  if (!(Number.isInteger(columns) && columns >= 1 && columns <= features)) {
    refuseShape(`a matrix of ${columns} columns`, `give 1 to ${features} of the ${features} features`);
  }
  if (matrix.length % columns !== 0) {
    refuseShape(`matrix holds ${matrix.length} numbers`, `give whole rows of ${columns} features`);
  }
  if (scaleStride !== 0 && scaleStride !== features) {
    refuseShape(`a scaleStride of ${scaleStride}`, `give 0 (one scale for all windows) or ${features} (one a window)`);
  }
  const scales = scaleStride === 0 ? features : starts.length * features;
  const meaning = scaleStride === 0 ? 'one a feature, as scaleStride is 0' : 'one a window and feature';
  checkLength('shift', shift, scales, meaning);
  checkLength('gain', gain, scales, meaning);
  const rows = matrix.length / columns;
  const lastStart = rows - windowLength;
  for (let b = 0; b < starts.length; b++) {
    if (starts[b] < 0 || starts[b] > lastStart) {
      refuseShape(
        `window ${b} starts at row ${starts[b]} of a matrix of ${rows} rows`,
        lastStart < 0
          ? `give a matrix of at least ${windowLength} rows`
          : `give starts from 0 to ${lastStart}, so that ${windowLength} rows follow`,
      );
    }
  }
  checkFinite('shift', shift);
  checkFinite('gain', gain);
}

/**
 * Every scaled input of every window is finite in float32. Call it after {@link checkWindows}; a kernel that looks at
 * each input anyway may look there instead. @throws BARCAST_E_NOT_FINITE
 */
export function checkInputsFinite(shape: NetworkShape, windows: Windows): void {
  const { matrix, starts, shift, gain, scaleStride } = windows;
  const { features, windowLength } = shape;
  const columns = columnsOf(windows, features);
  for (let b = 0; b < starts.length; b++) {
    const scaleAt = b * scaleStride;
    for (let row = starts[b]; row < starts[b] + windowLength; row++) {
      for (let f = 0; f < features; f++) {
        const raw = f < columns ? matrix[row * columns + f] : 1;
        const input = Math.fround(Math.fround(raw - shift[scaleAt + f]) * gain[scaleAt + f]);
        if (input - input !== 0) {
          throw new BarcastError(
            'BARCAST_E_NOT_FINITE',
            `window ${b} holds ${raw} at row ${row}, feature ${f}, which scales to ${input}`,
            'give windows of finite numbers only',
          );
        }
      }
    }
  }
}

/** A loss that fits the network's outputs. @throws BARCAST_E_SHAPE, BARCAST_E_USAGE */
export function checkLoss(shape: NetworkShape, loss: Loss): void {
  switch (loss.kind) {
    case 'mse':
      return;
    case 'huber':
      if (!(Number.isFinite(loss.delta) && loss.delta > 0))
        refuseSetting(`a Huber delta of ${loss.delta}`, 'give a finite number above 0');
      return;
    case 'pinball':
      checkLength('the pinball loss', loss.levels, outputsOf(shape), 'one quantile level an output');
      for (const level of loss.levels) {
        if (!(level > 0 && level < 1))
          refuseSetting(`a quantile level of ${level}`, 'give levels strictly between 0 and 1');
      }
      return;
    default:
      refuseSetting(`a loss '${(loss as { kind: string }).kind}'`, 'choose mse, huber or pinball');
  }
}

/** All of a training batch but the matrix's values ({@link checkInputsFinite}). @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE, BARCAST_E_USAGE */
export function checkBatch(shape: NetworkShape, batch: TrainingBatch): void {
  checkWindows(shape, batch);
  const { targets, starts, firstSequence } = batch;
  checkType('targets', targets, Float32Array);
  checkLength('targets', targets, starts.length * outputsOf(shape), 'one a window and output');
  checkFinite('targets', targets);
  checkLoss(shape, batch.loss);
  if (!Number.isSafeInteger(firstSequence) || firstSequence < 0 || firstSequence % TILE !== 0) {
    refuseShape(`a firstSequence of ${firstSequence}`, `give a multiple of ${TILE} from 0 on`);
  }
  if (!Number.isSafeInteger(batch.dropoutSeed))
    refuseSetting(`a dropoutSeed of ${batch.dropoutSeed}`, 'give a whole number');
  if (!Number.isSafeInteger(batch.step)) refuseSetting(`a step of ${batch.step}`, 'give a whole number');
}

/** @throws BARCAST_E_SHAPE */
export function checkGradientSums(gradient: GradientSums, parameters: number): void {
  checkType('sums', gradient.sums, BigInt64Array);
  checkLength('sums', gradient.sums, parameters + 1, 'one a parameter of this network, and the loss');
  if (!Number.isSafeInteger(gradient.sequences) || gradient.sequences < 1) {
    refuseShape(`a gradient of ${gradient.sequences} sequences`, 'give one of at least 1 sequence');
  }
}

/** @throws BARCAST_E_USAGE */
export function checkOptimizerSettings(settings: OptimizerSettings): void {
  const { kind = 'adam', learningRate, beta1, beta2, epsilon, weightDecay, clipNorm } = settings;
  if (!['adam', 'lamb', 'lars'].includes(kind)) refuseSetting(`an optimiser '${kind}'`, 'choose adam, lamb or lars');
  for (const [name, value] of Object.entries({ learningRate, weightDecay, clipNorm })) {
    if (!(Number.isFinite(value) && value >= 0))
      refuseSetting(`a ${name} of ${value}`, 'give a finite number, 0 or more');
  }
  for (const [name, value] of Object.entries({ beta1, beta2 })) {
    if (!(value >= 0 && value < 1)) refuseSetting(`a ${name} of ${value}`, 'give a number from 0 to less than 1');
  }
  if (!(Number.isFinite(epsilon) && epsilon > 0))
    refuseSetting(`an epsilon of ${epsilon}`, 'give a finite number above 0');
}

/** @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
export function checkOptimizerState(state: OptimizerState, parameters: number): void {
  for (const name of ['m', 'v'] as const) {
    checkType(name, state[name], Float32Array);
    checkLength(name, state[name], parameters, 'one a parameter of this network');
    checkFinite(name, state[name]);
  }
  const negative = state.v.findIndex((value) => value < 0);
  if (negative >= 0) refuseShape(`v[${negative}] is ${state.v[negative]}`, 'give second moments of 0 or more');
  if (!Number.isSafeInteger(state.updates) || state.updates < 0) {
    refuseShape(`a count of ${state.updates} updates`, 'give a whole number from 0 on');
  }
}
