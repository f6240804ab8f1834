/**
 * Which cut of the workgroups is fastest on a device: every layer's passes are timed with each cut that fits, once for
 * an adapter and a shape of layers; the choice is kept in a file. No cut changes a bit of an answer: one that does, as a
 * driver's fault with subgroups would, is never chosen.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../base/index.ts';
import type { NetworkShape } from '../kernel.ts';
import type { AdapterFacts } from './adapters.ts';
import { type ChooseCut, type Cut, type Direction, possibleCuts, sameCut } from './cut.ts';
import { type LstmPlan, planNetwork } from './plan.ts';

/** Grows when the shaders change so that an old choice may be a bad one. */
const VERSION = 2;

/** Milliseconds of one pass with these cuts, and a digest of its answer. */
export type TimeCuts = (cutOf: ChooseCut, direction: Direction) => Promise<{ taken: number; answer: string }>;

/** Where choices are kept: `$XDG_CACHE_HOME/barcast`, usually `~/.cache/barcast`. */
export const tuningFile = (): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'barcast', 'webgpu-cuts.json');

const keyOf = ({ inputs, units, half }: LstmPlan, direction: Direction) =>
  `${inputs}-${units} ${direction}${half ? ' half' : ''}`;

export class Tuner {
  readonly #facts: AdapterFacts;
  readonly #usual: ChooseCut;
  readonly #file: string;
  readonly #adapter: string;
  readonly #cuts = new Map<string, Cut>();

  constructor(facts: AdapterFacts, usual: ChooseCut, file = tuningFile()) {
    this.#facts = facts;
    this.#usual = usual;
    this.#file = file;
    this.#adapter = `${VERSION} ${facts.vendor} ${facts.architecture} ${facts.device} ${facts.description}`;
    for (const [key, cut] of Object.entries(this.#kept()[this.#adapter] ?? {})) this.#cuts.set(key, cut);
  }

  readonly cutOf = (layer: LstmPlan, direction: Direction): Cut => {
    const cut = this.#cuts.get(keyOf(layer, direction));
    // A kept choice is worth nothing when the driver's limits have changed.
    const fits = cut && this.#cutsOf(layer, direction).some((other) => sameCut(cut, other));
    return fits ? cut : this.#usual(layer, direction);
  };

  /** Times what is not known yet of a shape's layers, and keeps it. Answers how many choices were made. */
  async tune(shape: NetworkShape, half: boolean, time: TimeCuts): Promise<number> {
    let made = 0;
    for (const layer of planNetwork(shape, half).lstm) {
      for (const direction of ['forward', 'backward'] as const) {
        const key = keyOf(layer, direction);
        if (this.#cuts.has(key)) continue;
        const timed = (cut: Cut) =>
          time((other, otherDirection) => {
            const own = otherDirection === direction && keyOf(other, otherDirection) === key;
            return own ? cut : this.cutOf(other, otherDirection);
          }, direction);
        const usual = this.#usual(layer, direction);
        const { taken, answer } = await timed(usual);
        let best = { cut: usual, taken };
        const race = async (cuts: readonly Cut[]) => {
          for (const cut of cuts) {
            if (sameCut(cut, usual)) continue;
            const found = await timed(cut);
            if (found.answer === answer && found.taken < best.taken) best = { cut, taken: found.taken };
          }
        };
        const cuts = this.#cutsOf(layer, direction);
        await race(cuts.filter(({ shuffled }) => !shuffled));
        const shuffled = { ...best.cut, groups: 1, shuffled: true };
        await race(cuts.filter((cut) => sameCut(cut, shuffled)));
        this.#cuts.set(key, best.cut);
        made++;
      }
    }
    if (made > 0) this.#keep();
    return made;
  }

  #cutsOf(layer: LstmPlan, direction: Direction): Cut[] {
    return possibleCuts(layer, direction, this.#facts);
  }

  /** The file's choices; none where it cannot be read. */
  #kept(): Record<string, Record<string, Cut>> {
    try {
      const kept: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      return typeof kept === 'object' && kept !== null ? (kept as Record<string, Record<string, Cut>>) : {};
    } catch {
      return {};
    }
  }

  /** A choice that cannot be kept is made again next time. */
  #keep(): void {
    try {
      mkdirSync(dirname(this.#file), { recursive: true });
      const kept = { ...this.#kept(), [this.#adapter]: Object.fromEntries(this.#cuts) };
      writeFileAtomic(this.#file, `${JSON.stringify(kept, null, 2)}\n`);
    } catch {
      // A full or read-only disk costs some seconds of the next start, no more.
    }
  }
}
