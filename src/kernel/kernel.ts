/**
 * The one door to the mathematics. Every kernel (reference, native, webgpu) is behind this interface and passes the
 * same conformance suite.
 *
 * Glossary: B sequences in a batch, T time steps, F features, H hidden units, O outputs, P parameters.
 *
 * Limits (every kernel refuses what lies beyond): one to three LSTM layers of 1 to 256 units, 1 to 32 features,
 * 1 to 512 time steps, 1 to 4 dense layers of 1 to 256 units, any number of sequences.
 */

/** `webgpu-f16` is `webgpu` with LSTM layers in half precision. */
export type KernelName = 'reference' | 'native' | 'webgpu' | 'webgpu-f16';
export type Activation = 'linear' | 'relu';

/** A network: LSTM layers, dropout on the last one's final hidden state, dense layers. The last dense is the output. */
export interface NetworkShape {
  /** T, time steps a window. */
  readonly windowLength: number;
  /** F, inputs a time step. */
  readonly features: number;
  /** H of each LSTM layer, bottom first; a layer feeds its whole hidden sequence to the next. */
  readonly lstm: readonly number[];
  /** Share of the final hidden state that training drops, 0 to less than 1 (inverted dropout). */
  readonly dropout: number;
  readonly dense: readonly { readonly units: number; readonly activation: Activation }[];
}

/**
 * Windows of a feature matrix, by reference: nothing is copied T times.
 *
 * Input of sequence b at step t, feature f: `(x - shift[b * scaleStride + f]) * gain[b * scaleStride + f]` in float32,
 * where x is `matrix[(starts[b] + t) * columns + f]`, and 1 for f from `columns` on: a feature that is the same at every
 * step of a window needs no column.
 */
export interface Windows {
  /** `[rows, columns]`, row-major. A NaN inside a window is the caller's error and is refused. */
  readonly matrix: Float32Array;
  /** Features that the matrix holds, the first `columns` of F: the others are 1 in every row. F unless told. */
  readonly columns?: number;
  /** `[B]` first row of each window; `starts[b] + T <= rows`. */
  readonly starts: Int32Array;
  /** `[F]` or `[B, F]` */
  readonly shift: Float32Array;
  /** `[F]` or `[B, F]` */
  readonly gain: Float32Array;
  /** 0: one shift and gain for all windows; F: one row of them for each window. */
  readonly scaleStride: number;
}

/** Features that the matrix of these windows holds, of F. */
export const columnsOf = ({ columns }: Pick<Windows, 'columns'>, features: number): number => columns ?? features;

/** Loss of one sequence, the mean over its O outputs; a batch's loss is the mean over its sequences. */
export type Loss =
  /** (p - y)^2 */
  | { readonly kind: 'mse' }
  /** Huber (1964): 0.5 e^2 within delta, delta (|e| - 0.5 delta) beyond */
  | { readonly kind: 'huber'; readonly delta: number }
  /** Pinball (Koenker & Bassett 1978): one quantile level an output, each strictly between 0 and 1 */
  | { readonly kind: 'pinball'; readonly levels: readonly number[] };

export interface TrainingBatch extends Windows {
  /** `[B, O]` */
  readonly targets: Float32Array;
  readonly loss: Loss;
  /**
   * Dropout masks are drawn by {@link dropoutWord}: they depend on the seed, the step and the sequence's place in the
   * batch, and on nothing else, so that any number of workers draws the same ones.
   */
  readonly dropoutSeed: number;
  readonly step: number;
  /** Place of this batch's first sequence in the whole step's batch: 0 for a single worker; a multiple of TILE. */
  readonly firstSequence: number;
}

/**
 * Adam (Kingma & Ba 2015); with `weightDecay` decoupled, AdamW (Loshchilov & Hutter 2019). For large batches, a step
 * whose size follows that of each tensor: LAMB (You et al. 2020) on Adam's direction, LARS (You, Gitman & Ginsburg
 * 2017) on the momentum of the gradient.
 */
export interface OptimizerSettings {
  /** `adam` when absent. */
  readonly kind?: 'adam' | 'lamb' | 'lars';
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay a step is learningRate * weightDecay * w; 0 is plain Adam. */
  readonly weightDecay: number;
  /** The mean gradient is scaled down to this global Euclidean norm when it exceeds it; 0 for no clipping. */
  readonly clipNorm: number;
}

/** Sequences a tile: the unit whose gradient is summed in a fixed order, whatever the number of workers. */
export const TILE = 32;

/**
 * A tile's gradient (the SUM over its sequences of each one's loss gradient) crosses tiles, threads and ranks as
 * round(gradient * 2^40) in 64-bit integers, so that no order of addition changes a bit. Resolution 9.1e-13; a tile's
 * sum beyond +-2^22 (4.2 million), or a batch's that would not fit 64 bits, is a divergence and is refused.
 */
export const GRADIENT_SCALE = 2 ** 40;
export const GRADIENT_LIMIT = 2 ** 22;

/** What a batch adds to a step. Integers: add those of several ranks in any order. */
export interface GradientSums {
  /** `[P + 1]` fixed-point sums over sequences: the P gradients, then the loss. */
  readonly sums: BigInt64Array;
  /** Sequences summed. */
  readonly sequences: number;
}

/** The state that, with the weights, makes a resumed training go on to the same bits. */
export interface OptimizerState {
  /** `[P]` first moment */
  readonly m: Float32Array;
  /** `[P]` second moment */
  readonly v: Float32Array;
  /** Updates applied so far. */
  readonly updates: number;
}

/** One network on one kernel: its weights, its optimiser's moments, its scratch memory. Calls must not overlap. */
export interface KernelNetwork {
  readonly shape: NetworkShape;
  /** A copy of the weights, `[P]`, laid out as `parameters.ts` says. */
  readWeights(): Promise<Float32Array>;
  writeWeights(weights: Float32Array): Promise<void>;
  readOptimizer(): Promise<OptimizerState>;
  writeOptimizer(state: OptimizerState): Promise<void>;
  /** Outputs `[B, O]` without dropout. @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE */
  forward(windows: Windows): Promise<Float32Array>;
  /**
   * The batch's gradient sums; weights stay as they are.
   * @param into `[P + 1]` memory for the sums, which saves a kernel on the processor to make some; another may answer
   *   memory of its own
   * @throws BARCAST_E_SHAPE, BARCAST_E_NOT_FINITE, BARCAST_E_DIVERGED
   */
  gradient(batch: TrainingBatch, into?: BigInt64Array): Promise<GradientSums>;
  /** One optimiser update from sums over `sequences` sequences. @throws BARCAST_E_DIVERGED */
  update(gradient: GradientSums, optimizer: OptimizerSettings): Promise<void>;
  /** `gradient` and `update` in one call; answers the batch's mean loss. */
  trainStep(batch: TrainingBatch, optimizer: OptimizerSettings): Promise<number>;
  /** Frees what it holds; later calls are errors. */
  close(): void;
}

/** How far a kernel may be from the reference, of the largest number of an output or of a parameter's gradient. */
export interface KernelTolerance {
  readonly outputs: number;
  readonly gradients: number;
}

export const FLOAT32_TOLERANCE: KernelTolerance = { outputs: 1e-5, gradients: 1e-4 };
export const FLOAT16_TOLERANCE: KernelTolerance = { outputs: 5e-3, gradients: 1e-2 };

/** A way to compute. */
export interface Kernel {
  readonly name: KernelName;
  /** Worker threads it computes with. */
  readonly threads: number;
  /** For people: instruction set, adapter. */
  readonly description: string;
  /** Kernels of the same version and arithmetic give the same bits; others may differ in the last ones. */
  readonly arithmetic: string;
  /** {@link FLOAT32_TOLERANCE} when absent. */
  readonly tolerance?: KernelTolerance;
  /** A GPU whose work the processor does: for tests, never chosen by itself. */
  readonly software?: boolean;
  /**
   * @param weights `[P]`, copied
   * @param heldMs how long a call may keep the caller's thread, in milliseconds of one core by estimate; a longer one
   *   goes to another thread, which takes about 0.1 ms. Less than 1 ms when absent.
   * @throws BARCAST_E_SHAPE
   */
  createNetwork(shape: NetworkShape, weights: Float32Array, heldMs?: number): Promise<KernelNetwork>;
  close(): void;
}

/** A kernel, or why there is none: an unavailable one returns its reason and throws nothing. */
export type KernelOffer = { readonly kernel: Kernel } | { readonly unavailable: string };
