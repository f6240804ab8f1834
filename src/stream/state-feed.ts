/**
 * The state's side of the bus: bars, forecasts and the shadow's forecasts go in as they come.
 *
 * A state that starts behind on a bus that keeps its streams reads them from the past on. The topics are read
 * independently of each other, and one may run far ahead; so while it catches up, what is older in market time goes
 * first, and the scores come out as they did for whoever was there. A topic that has been silent for a moment has
 * nothing older to come and is not waited for. Once all are silent it has caught up and takes everything as it comes.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { EpochMs } from '../base/index.ts';
import type { Batch, Bus, Subscription, Topic, Topics } from './bus.ts';
import type { Forecast } from './forecast.ts';
import type { LiveState } from './state.ts';

export interface StateFeed {
  /** Resolves when every topic has ended; rejects with what broke one. */
  readonly done: Promise<void>;
  /** Takes no further batch; what is held is still taken. */
  drain(): void;
  close(): void;
}

/** Silence after which a topic counts as having nothing older to come. */
const SILENT_MS = 200;
/** The same before anything has come at all: a server may be slow to begin. */
const FIRST_SILENT_MS = 1000;

interface Lane {
  readonly subscription: Subscription<unknown>;
  /** Market minute of a batch; bars of a minute go before the forecasts made of them. */
  readonly keyOf: (batch: Batch<never>) => number;
  readonly take: (items: readonly never[]) => void;
}

/**
 * Feeds a state from the topics `bars`, `forecasts` and `shadow`.
 * @param options.since reads what the bus has kept from then on; without it, what is published from now on
 * @throws BARCAST_E_BUS
 */
export async function feedState(
  bus: Bus,
  state: LiveState,
  options: { readonly name?: string; readonly since?: EpochMs } = {},
): Promise<StateFeed> {
  const { name = 'state', since } = options;
  const lane = async <T extends Topic>(
    topic: T,
    keyOf: (item: Topics[T]) => number,
    take: (items: readonly Topics[T][]) => void,
  ): Promise<Lane> => ({
    subscription: await bus.subscribe(topic, { name: `${name}-${topic}`, since }),
    keyOf: ({ items }: Batch<Topics[T]>) => keyOf(items[0]),
    take,
  });
  const minuteOf = ({ asOf }: Forecast) => Date.parse(asOf) / 60_000;
  const lanes = [
    await lane(
      'bars',
      ({ minute }) => minute + 0.5,
      (bars) => state.acceptBars(bars),
    ),
    await lane('forecasts', minuteOf, (forecasts) => state.acceptForecasts(forecasts)),
    await lane(
      'shadow' as Topic,
      (it) => minuteOf(it as Forecast),
      (it) => state.acceptShadow(it as Forecast[]),
    ),
  ];
  const each = (work: (subscription: Subscription<unknown>) => void) => {
    for (const { subscription } of lanes) work(subscription);
  };
  const run = async () => {
    try {
      await (since === undefined ? Promise.all(lanes.map(takeAsItComes)) : takeOldestFirst(lanes));
    } finally {
      each((subscription) => subscription.close());
    }
  };
  return {
    done: run(),
    drain: () => each((subscription) => subscription.drain()),
    close: () => each((subscription) => subscription.close()),
  };
}

async function takeAsItComes({ subscription, take }: Lane): Promise<void> {
  for await (const { items } of subscription) take(items as readonly never[]);
}

/** What a lane offers next: a batch, its end, or nothing so far. */
interface Head {
  readonly lane: Lane;
  readonly batches: AsyncIterator<Batch<unknown>>;
  batch: Batch<unknown> | undefined;
  waiting: Promise<void> | undefined;
  silent: boolean;
  ended: boolean;
}

async function takeOldestFirst(lanes: readonly Lane[]): Promise<void> {
  const heads = lanes.map((lane): Head => {
    const batches = lane.subscription[Symbol.asyncIterator]();
    return { lane, batches, batch: undefined, waiting: undefined, silent: false, ended: false };
  });
  let caughtUp = false;
  let begun = false;
  const waits = ({ batch, ended, silent }: Head) => batch === undefined && !ended && !silent;
  const isKnown = ({ batch }: Head) => batch !== undefined;
  while (heads.some(({ ended, batch }) => !ended || batch !== undefined)) {
    for (const head of heads) if (!head.ended && head.batch === undefined) head.waiting ??= askNext(head);
    const asked = heads.filter(({ waiting }) => waiting !== undefined);
    if (!heads.some(isKnown)) {
      if (caughtUp) await Promise.race(asked.map(({ waiting }) => waiting));
      else caughtUp = await silence(asked, begun ? SILENT_MS : FIRST_SILENT_MS);
      continue;
    }
    begun = true;
    if (!caughtUp && heads.some(waits)) {
      await silence(heads.filter(waits), SILENT_MS);
      continue;
    }
    // What has arrived and was not handed over yet has its turn too.
    if (asked.length > 0) await setImmediate();
    const key = ({ lane, batch }: Head) => lane.keyOf(batch as Batch<never>);
    const oldest = heads.filter(isKnown).reduce((a, b) => (key(b) < key(a) ? b : a));
    oldest.lane.take(oldest.batch!.items as readonly never[]);
    oldest.batch = undefined;
  }
}

async function askNext(head: Head): Promise<void> {
  const { done, value } = await head.batches.next();
  head.waiting = undefined;
  head.silent = false;
  if (done) head.ended = true;
  else head.batch = value;
}

/** Resolves when one of the lanes has something, or none had for a moment: then they count as silent. @returns the latter */
async function silence(heads: readonly Head[], forMs: number): Promise<boolean> {
  const stop = new AbortController();
  const passed = sleep(forMs, true, { signal: stop.signal }).catch(() => false);
  const silent = await Promise.race([passed, ...heads.map(({ waiting }) => waiting?.then(() => false))]);
  stop.abort();
  if (silent) for (const head of heads) head.silent = true;
  return silent === true;
}
