/** Nodes that read the same streams show the same scores, whenever they came. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { epochMs } from '../../src/base/index.ts';
import {
  type Bus,
  feedState,
  keepScoreboard,
  LiveState,
  memoryBus,
  natsBus,
  startLiveOnBus,
} from '../../src/stream/index.ts';
import { type Batch, madeUpSession, takeBatch } from './made-up-session.ts';
import { natsServer } from './nats-server.ts';

const EVERYTHING = epochMs(0);
const everything = (state: LiveState) => state.scores.list().map((board) => board.report());
const newState = () => new LiveState({ longestQuietRun: 3 });

async function publish(bus: Bus, batches: readonly Batch[]) {
  for (const batch of batches) {
    if ('bars' in batch) await bus.publish('bars', batch.bars);
    else if ('forecasts' in batch) await bus.publish('forecasts', batch.forecasts);
    else await bus.publish('shadow', batch.shadow);
  }
}

/** How many bars and forecasts a state has had; no forecast of these sessions is older than its charts reach. */
const had = (state: LiveState) => {
  const bars = state.bars.symbols().reduce((sum, symbol) => sum + state.bars.list(symbol).length, 0);
  const boards = state.scores.list().map((board) => board.summary());
  return [bars, ...boards.map(({ overall, waiting, unscored }) => overall.total.forecasts + waiting + unscored)].join();
};

/** Resolves once a state has had as much as another. */
function hasAll(state: LiveState, of: LiveState): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    if (had(state) !== had(of)) return;
    clearInterval(timer);
    resolve();
  }, 10);
  return promise;
}

function undisturbed(batches: readonly Batch[]): LiveState {
  const state = newState();
  for (const batch of batches) takeBatch(state, batch);
  return state;
}

test('over the memory bus', async () => {
  const batches = madeUpSession(30, 10);
  const expected = undisturbed(batches);
  const bus = memoryBus();
  const state = newState();
  const feed = await feedState(bus, state);
  await publish(bus, batches);
  feed.drain();
  await feed.done;
  assert.deepEqual(everything(state), everything(expected));
});

test('over JetStream: a node from the start, one that comes late, one that restarts, one whose file is lost, and one that is new', async (t) => {
  const server = await natsServer(t);
  const folder = mkdtempSync(join(tmpdir(), 'barcast-feed-'));
  const closing: (() => Promise<void>)[] = [];
  /** A node: a connection, a state and, where it has a file, its scores from before. */
  const node = async (file?: string) => {
    const bus = await natsBus({ url: server.url });
    const state = newState();
    const path = file && join(folder, file);
    const kept = path ? keepScoreboard(state, path, assert.fail, { everyBarComes: true }) : undefined;
    const feed = await feedState(bus, state, { since: EVERYTHING });
    const stop = async () => {
      feed.close();
      await feed.done;
      kept?.close();
      await bus.close();
    };
    closing.push(stop);
    return { state, stop };
  };
  try {
    const batches = madeUpSession(120, 20);
    const half = Math.floor(batches.length / 2);
    const expected = undisturbed(batches);
    const publisher = await natsBus({ url: server.url });
    closing.push(() => publisher.close());
    const early = await node();
    const restarted = await node('a.json');
    await publish(publisher, batches.slice(0, half));
    await hasAll(restarted.state, undisturbed(batches.slice(0, half)));
    await restarted.stop();
    await publish(publisher, batches.slice(half));
    const nodes = { early, late: await node(), again: await node('a.json'), lost: await node('b.json') };
    const stop = new AbortController();
    const fresh = { state: newState() };
    const bus = await natsBus({ url: server.url });
    const live = await startLiveOnBus({
      bus,
      state: fresh.state,
      symbols: [],
      signal: stop.signal,
      scoreboardFile: join(folder, 'c.json'),
    });
    closing.push(async () => {
      stop.abort();
      await live.done;
    });
    for (const [name, { state }] of Object.entries({ ...nodes, fresh })) {
      await hasAll(state, expected);
      assert.deepEqual(everything(state), everything(expected), name);
    }
  } finally {
    for (const close of closing) await close();
    rmSync(folder, { recursive: true });
  }
});
