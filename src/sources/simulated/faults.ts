/**
 * Faults to order: what a source of bars does wrong, each at a rate of its own, from a seed. Faults of an answer are
 * drawn anew for every request of a symbol; nulls and gaps are drawn by minute, and are missing in its first answer, or as
 * many as are ordered. So asking again helps, or does not.
 */
import { BarcastError, hashText, Random } from '../../base/index.ts';

/** Every kind, with what its rate is a share of and what its third number means. */
export const FAULT_KINDS = {
  '429': 'answers refused with status 429 and Retry-After; third number: the seconds in Retry-After (1)',
  '429-bare': 'answers refused with status 429 alone',
  '500': 'answers with status 500',
  malformed: 'answers whose JSON breaks off in the middle',
  slow: 'answers held back; third number: milliseconds (300)',
  hang: 'answers that stop, half of them before the first byte and half in the middle, while the connection stays open',
  reset: 'connections that are dropped in the middle of an answer',
  duplicate: 'rows that come twice',
  partial: 'answers whose running bar is stamped with its whole minute, as if it had ended',
  null: 'minutes without values; third number: in how many answers that have the minute (1)',
  gap: 'ten-minute stretches that are missing; third number: in how many answers (1)',
} as const;
export type FaultKind = keyof typeof FAULT_KINDS;

export interface Fault {
  /** From 0 to 1. */
  readonly rate: number;
  /** The third number, where the kind has one. */
  readonly value?: number;
}

export type Faults = { readonly [kind in FaultKind]?: Fault };

const WITH_VALUE: ReadonlySet<FaultKind> = new Set(['429', 'slow', 'null', 'gap']);

/**
 * Reads `kind:rate` and `kind:rate:number`, separated by commas: `429:0.05,null:0.01,slow:0.1:500`.
 * @throws BARCAST_E_USAGE
 */
export function parseFaults(text: string): Faults {
  const faults: { [kind in FaultKind]?: Fault } = {};
  const refuse = (what: string): never => {
    throw new BarcastError('BARCAST_E_USAGE', what, 'write them as in 429:0.05,null:0.01,slow:0.1:500');
  };
  for (const part of text.split(',').map((piece) => piece.trim())) {
    const [kind, rateText, valueText, ...more] = part.split(':');
    if (!Object.hasOwn(FAULT_KINDS, kind)) {
      refuse(`'${kind}' is not a fault; there are ${Object.keys(FAULT_KINDS).join(', ')}`);
    }
    const name = kind as FaultKind;
    if (faults[name] !== undefined) refuse(`the fault '${name}' is ordered twice`);
    const rate = numberOf(rateText);
    if (rate === undefined || rate > 1) refuse(`the fault '${part}' needs a rate from 0 to 1`);
    if (more.length > 0 || (valueText !== undefined && !WITH_VALUE.has(name))) {
      refuse(`the fault '${part}' has more numbers than '${name}' takes`);
    }
    const value = numberOf(valueText);
    if (valueText !== undefined && value === undefined) refuse(`the fault '${part}' has a number that cannot be read`);
    faults[name] = value === undefined ? { rate: rate! } : { rate: rate!, value };
  }
  return faults;
}

const numberOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : undefined;

/** Draws faults. The n-th request of a symbol gets the same ones in every run. */
export class FaultDice {
  readonly faults: Faults;
  readonly #seed: number;
  readonly #requests = new Map<string, number>();
  /** Answers so far with a minute that is to be missing in some. */
  readonly #lacking = new Map<string, number>();

  constructor(seed: number, faults: Faults) {
    this.#seed = seed;
    this.faults = faults;
  }

  /** The faults of one more answer about a symbol. */
  draw(symbol: string): (kind: FaultKind) => boolean {
    const request = this.#requests.get(symbol) ?? 0;
    this.#requests.set(symbol, request + 1);
    return (kind) => this.#happens(kind, symbol, request);
  }

  /** A share from 0 to 1 that belongs to one more answer about a symbol: where it stops. */
  share(symbol: string): number {
    return new Random(this.#seed, hashText(`share ${symbol}`), 4 * (this.#requests.get(symbol) ?? 0)).uniform();
  }

  /** Whether a row of an answer comes twice. */
  repeats(symbol: string, minute: number): boolean {
    return this.#happens('duplicate', symbol, minute);
  }

  /** What one more answer lacks of a minute: its row, or the row's values. */
  lacks(symbol: string, minute: number): 'row' | 'values' | undefined {
    const gap = this.#happens('gap', symbol, Math.floor(minute / 10));
    const isNull = this.#happens('null', symbol, minute);
    if (!gap && !isNull) return undefined;
    const key = `${symbol} ${minute}`;
    const answers = (this.#lacking.get(key) ?? 0) + 1;
    this.#lacking.set(key, answers);
    if (gap && answers <= (this.faults.gap?.value ?? 1)) return 'row';
    return isNull && answers <= (this.faults.null?.value ?? 1) ? 'values' : undefined;
  }

  #happens(kind: FaultKind, symbol: string, index: number): boolean {
    const rate = this.faults[kind]?.rate ?? 0;
    return rate > 0 && new Random(this.#seed, hashText(`fault ${kind} ${symbol}`), 4 * index).uniform() < rate;
  }
}
