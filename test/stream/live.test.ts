import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { BarcastError, epochMinute } from '../../src/base/index.ts';
import type { LiveSource } from '../../src/sources/source.ts';
import { fixedModel, LiveState, memoryBus, replaySource, startLive } from '../../src/stream/index.ts';
import { bar, CountingMarket, clockAt, MODEL, OPEN, readerOf, series, ToyPredictor } from './fixtures.ts';

/** A source that plays a script: batches of bars, and errors that it throws. */
function scripted(script: (Bar[] | Error)[], clock = clockAt(OPEN)): LiveSource {
  return {
    name: 'scripted',
    clock,
    async *live() {
      for (let step = script.shift(); step !== undefined; step = script.shift()) {
        if (step instanceof Error) throw step;
        yield step;
      }
    },
  };
}

function setUp(source: LiveSource, windowLength = 1) {
  const state = new LiveState({ longestQuietRun: 3 });
  state.setModel(MODEL);
  const notices: string[] = [];
  const slept: number[] = [];
  const stop = new AbortController();
  const predictor = new ToyPredictor();
  const options = {
    source,
    symbols: ['A', 'B'],
    models: fixedModel(predictor),
    newWindows: () => new CountingMarket(windowLength),
    bus: memoryBus(),
    state,
    signal: stop.signal,
    notice: (line: string) => notices.push(line),
    pace: { now: () => 0, sleep: async (ms: number) => void slept.push(ms) },
  };
  return { options, predictor, state, notices, slept, stop };
}

describe('the live chain', () => {
  test('carries bars from the source to forecasts and scores', async () => {
    const closes = [100, 101, 102, 103, 104, 105, 106];
    const source = replaySource({
      reader: readerOf([...series('A', closes), ...series('B', closes)]),
      from: OPEN,
      to: epochMinute(OPEN + 7),
      speed: Number.POSITIVE_INFINITY,
    });
    const { options, state } = setUp(source);
    const events: string[] = [];
    state.listen((event) => events.push(event.type));
    const live = await startLive(options);
    await live.done;
    assert.deepEqual(
      state.latest().map((it) => [it.symbol, it.asOf]),
      [
        ['A', '2020-01-02T14:37:00.000Z'],
        ['B', '2020-01-02T14:37:00.000Z'],
      ],
    );
    assert.equal(state.recent('A').length, 7);
    assert.equal(state.bars.list('B').length, 7);
    assert.equal(live.forecaster.counts.forecasts, 14);
    // asOf 14:31 and 14:32 have their outcome in the bars of 14:35 and 14:36.
    assert.equal(state.scoreboard!.report().overall.total.forecasts, 4);
    assert.deepEqual(state.readiness(), {
      ready: false,
      reasons: ['the source of bars (replay) is ended: it has no more bars'],
    });
    assert.ok(['bars', 'forecasts', 'scores', 'prediction', 'status'].every((type) => events.includes(type)));
  });

  test('starts a source again after a failure that may pass, with growing pauses', async () => {
    const failure = () => new BarcastError('BARCAST_E_NETWORK', 'no route', 'check the network');
    const source = scripted([
      [bar('A', OPEN, 1)],
      failure(),
      failure(),
      [bar('A', OPEN, 1), bar('A', OPEN + 1, 2)],
      failure(),
    ]);
    const { options, state, notices, slept } = setUp(source);
    await (await startLive(options)).done;
    assert.deepEqual(slept, [1000, 2000, 1000], 'a batch in between makes the pause short again');
    assert.equal(notices.length, 3);
    assert.match(notices[0], /scripted.*tried again in 1 s: BARCAST_E_NETWORK: no route/);
    assert.equal(state.recent('A').length, 2, 'the repeated bar made no second forecast');
  });

  test('ends with an error that will not pass', async () => {
    const { options, state } = setUp(
      scripted([[bar('A', OPEN, 1)], new BarcastError('BARCAST_E_STORE_CORRUPT', 'bad', 'mend')]),
    );
    const live = await startLive(options);
    await assert.rejects(live.done, { code: 'BARCAST_E_STORE_CORRUPT' });
    assert.equal(state.source.state, 'failed');
    assert.match(state.readiness().reasons.join(), /failed: BARCAST_E_STORE_CORRUPT/);
  });

  test('preloads the session, so that windows are warm at the first bar', async () => {
    const source = scripted([[bar('A', OPEN + 3, 4)]], clockAt(OPEN + 3));
    const { options, state } = setUp(source, 4);
    const reader = readerOf([bar('A', OPEN - 60, 9), ...series('A', [1, 2, 3, 4])]);
    await (await startLive({ ...options, warmUp: { reader } })).done;
    assert.deepEqual(reader.asked, [{ from: OPEN, to: OPEN + 3 }]);
    assert.deepEqual(
      state.latest().map((it) => it.asOf),
      ['2020-01-02T14:34:00.000Z'],
    );
    assert.deepEqual(
      state.bars.list('A').map((it) => it.close),
      [1, 2, 3, 4],
    );
  });

  test('tells of a prediction that fails and goes on', async () => {
    const { options, predictor, state, notices } = setUp(scripted([[bar('A', OPEN, 13)], [bar('A', OPEN + 1, 14)]]));
    const reasons: string[] = [];
    state.listen((event) => event.type === 'status' && reasons.push(state.readiness().reasons.join()));
    predictor.answer = (close) => {
      if (close === 13) throw new BarcastError('BARCAST_E_NOT_FINITE', 'NaN in a window', 'report it');
      return 0;
    };
    await (await startLive(options)).done;
    assert.match(notices[0], /a prediction failed: BARCAST_E_NOT_FINITE/);
    assert.ok(reasons.some((it) => it.includes('the last prediction failed: BARCAST_E_NOT_FINITE')));
    assert.ok(!state.readiness().reasons.join().includes('prediction'), 'forgotten once one works');
    assert.equal(state.latest().length, 1);
  });

  test('stops on the signal with everything served that had come', async () => {
    let arrived = () => {};
    const first = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const source: LiveSource = {
      name: 'endless',
      clock: clockAt(OPEN),
      async *live(_symbols, signal) {
        yield [bar('A', OPEN, 1)];
        arrived();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    };
    const { options, state, stop } = setUp(source);
    const live = await startLive(options);
    await first;
    assert.equal(state.source.state, 'running');
    stop.abort();
    await live.done;
    assert.equal(state.latest().length, 1);
    assert.equal(state.source.state, 'ended');
  });
});

describe('the live state', () => {
  test('keeps the newest of everything, bounded', () => {
    const state = new LiveState({ barsPerSymbol: 3, forecastsPerSymbol: 2 });
    state.setModel(MODEL);
    state.acceptBars(series('A', [1, 2, 3, 4, 5]));
    assert.deepEqual(
      state.bars.list('A').map((it) => it.close),
      [3, 4, 5],
    );
    assert.deepEqual(
      state.bars.list('A', 2).map((it) => it.close),
      [4, 5],
    );
    state.acceptBars([bar('A', OPEN + 1, 99), bar('A', OPEN + 4, 99)]);
    assert.deepEqual(
      state.bars.list('A').map((it) => it.close),
      [3, 4, 5],
      'late and repeated bars change nothing',
    );
    assert.equal(state.lastBarEnd, (OPEN + 5) * 60_000);
  });

  test('finds symbols in any spelling, and only followed ones', () => {
    const state = new LiveState({ symbols: ['BRK-B'] });
    assert.deepEqual(
      ['BRK-B', 'brk.b', ' brk/b ', 'AAPL', '<script>', ''].map((it) => state.findSymbol(it)),
      ['BRK-B', 'BRK-B', 'BRK-B', undefined, undefined, undefined],
    );
  });
});
