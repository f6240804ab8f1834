/**
 * Which cut of the workgroups is fastest on a device: every layer's passes are timed with each cut that fits, once for
 * an adapter and a shape of layers; the choice is kept in a file. No cut changes a bit of an answer.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../base/index.ts';
import type { NetworkShape } from '../kernel.ts';
import type { AdapterFacts } from './device.ts';
import { type Cut, type Direction, type LstmPlan, planNetwork, possibleCuts } from './plan.ts';

/** Grows when the shaders change so that an old choice may be a bad one. */
const VERSION = 1;

/** Milliseconds of one pass with these cuts; Infinity where the device refuses them. */
export type TimeCuts = (cutOf: (layer: LstmPlan, direction: Direction) => Cut, direction: Direction) => Promise<number>;

/** Where choices are kept: `$XDG_CACHE_HOME/barcast`, usually `~/.cache/barcast`. */
export const tuningFile = (): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'barcast', 'webgpu-cuts.json');

const keyOf = ({ inputs, units }: LstmPlan, direction: Direction) => `${inputs}-${units} ${direction}`;

export class Tuner {
  readonly #facts: AdapterFacts;
  readonly #usual: (layer: LstmPlan, direction: Direction) => Cut;
  readonly #file: string;
  readonly #adapter: string;
  readonly #cuts = new Map<string, Cut>();

  constructor(facts: AdapterFacts, usual: (layer: LstmPlan, direction: Direction) => Cut, file = tuningFile()) {
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
  async tune(shape: NetworkShape, time: TimeCuts): Promise<number> {
    let made = 0;
    for (const layer of planNetwork(shape).lstm) {
      for (const direction of ['forward', 'backward'] as const) {
        const key = keyOf(layer, direction);
        if (this.#cuts.has(key)) continue;
        let best = { cut: this.cutOf(layer, direction), taken: Number.POSITIVE_INFINITY };
        for (const cut of this.#cutsOf(layer, direction)) {
          const cutOf = (other: LstmPlan, otherDirection: Direction) =>
            otherDirection === direction && keyOf(other, otherDirection) === key
              ? cut
              : this.cutOf(other, otherDirection);
          const taken = await time(cutOf, direction);
          if (taken < best.taken) best = { cut, taken };
        }
        this.#cuts.set(key, best.cut);
        made++;
      }
    }
    if (made > 0) this.#keep();
    return made;
  }

  #cutsOf(layer: LstmPlan, direction: Direction): Cut[] {
    return possibleCuts(layer, direction, this.#facts.limits);
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

const sameCut = (a: Cut, b: Cut) => a.sequences === b.sequences && a.groups === b.groups && a.resident === b.resident;
