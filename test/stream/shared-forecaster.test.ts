import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { nanos } from '@nats-io/transport-node';
import { epochMinute, isoOfMinute } from '../../src/base/index.ts';
import { recipeOf } from '../../src/features/index.ts';
import {
  type Forecast,
  feedState,
  fixedModel,
  LiveState,
  type ModelSource,
  messagesOf,
  type NatsBus,
  natsBus,
  type Predictor,
  type SharedForecasterOptions,
  type Topic,
} from '../../src/stream/index.ts';
import { streamOf } from '../../src/stream/nats-connection.ts';
import { endsOf } from '../../src/stream/nats-reader.ts';
import { SharedWork } from '../../src/stream/shared-work.ts';
import { bar, OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import {
  allForecast,
  allRecorded,
  joinForecasters,
  killForecasters,
  published,
  undisturbed,
  until,
} from './shared-support.ts';

async function setUp(t: TestContext) {
  const buses: NatsBus[] = [];
  const forecasters: { leave(): Promise<void> }[] = [];
  // A test that fails must end too.
  t.after(async () => {
    try {
      await Promise.all(forecasters.map((it) => it.leave()));
    } finally {
      await Promise.all(buses.map((bus) => bus.close()));
    }
  });
  const server = await natsServer(t);
  const connect = async () => {
    const bus = await natsBus({ url: server.url });
    buses.push(bus);
    return bus;
  };
  const join = async (models: ModelSource, options?: Partial<SharedForecasterOptions>) => {
    const forecaster = await joinForecasters(await connect(), models, options);
    forecasters.push(forecaster);
    return forecaster;
  };
  return { server, connect, join, bus: await connect() };
}

const MINUTES = madeUpMinutes(10, 100);
const MODEL = sensitiveModel(scalerOf(MINUTES));
const EXPECTED = await undisturbed(MINUTES, MODEL);

test('one forecaster on the bus makes the forecasts of an undisturbed replay, to the byte', async (t) => {
  const { bus, join } = await setUp(t);
  await join(fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  assert.ok(EXPECTED.length > 300, `${EXPECTED.length}`);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
});

test('a forecaster that starts in the middle of a session has the windows of one that never stopped', async (t) => {
  const { bus, join } = await setUp(t);
  const first = await join(fixedModel(MODEL));
  const forecastsUntil = (minute: number) =>
    EXPECTED.filter((it) => Date.parse(it.asOf) <= (OPEN + minute) * 60_000).length;
  for (const bars of MINUTES.slice(0, 80)) await bus.publish('bars', bars);
  await published(bus, 'forecasts', forecastsUntil(80));
  await first.leave();
  // Nobody forecasts while these come.
  for (const bars of MINUTES.slice(80, 90)) await bus.publish('bars', bars);
  const second = await join(fixedModel(MODEL));
  await second.warm;
  for (const bars of MINUTES.slice(90)) await bus.publish('bars', bars);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
});

test('kill -9 of one forecaster after another: every forecast is there once, with the same bits', async (t) => {
  const { bus, server } = await setUp(t);
  const outcome = await killForecasters({ bus, url: server.url, symbols: 20, minutes: 130, killMs: 700, minuteMs: 60 });
  assert.ok(outcome.kills >= 3, `${outcome.kills} kills`);
  assert.deepEqual(outcome.found, outcome.expected);
});

test('kill -9 of the server: forecasters go on by themselves, and nothing is lost or doubled', async (t) => {
  const { bus, join, server } = await setUp(t);
  for (let f = 0; f < 2; f++) await join(fixedModel(MODEL));
  for (const [m, bars] of MINUTES.entries()) {
    const publishing = bus.publish('bars', bars);
    if (m === 70 || m === 85) {
      await server.kill('SIGKILL');
      await server.restart();
    }
    await publishing;
  }
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
});

test('late, repeated and corrected bars change nothing that was forecast, and are counted', async (t) => {
  const { bus, join } = await setUp(t);
  const forecaster = await join(fixedModel(MODEL));
  for (const [m, bars] of MINUTES.entries()) {
    await bus.publish('bars', bars);
    if (m !== 75) continue;
    // Under ids of their own, as from a publisher that does not know ours: the server takes them.
    const strange = [
      MINUTES[75][0],
      { ...MINUTES[75][1], close: 1 },
      { ...MINUTES[60][2], close: 1 },
      bar('S3', OPEN - 1, 1),
    ];
    await bus.publisher.publish(messagesOf('bars', strange).map((it, i) => ({ ...it, id: `strange-${i}` })));
  }
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  assert.equal(forecaster.counts.repeatedBars, 2);
  assert.equal(forecaster.counts.lateBars, 2);
});

const CS205 = recipeOf('cs205');
const ANOTHER = sensitiveModel(scalerOf(MINUTES, CS205), 'another', CS205);
const BY_ANOTHER = await undisturbed(MINUTES, ANOTHER);

/** Every minute by the model that its forecasts name, whole: each forecaster changes over by itself. */
function eachByItsModel(found: readonly Forecast[]) {
  const changed = new Set(found.filter((it) => it.weightsHash === 'another').map((it) => it.asOf));
  const [before, after] = [EXPECTED, BY_ANOTHER].map((all, i) =>
    all.filter((it) => changed.has(it.asOf) === (i === 1)),
  );
  assert.ok(
    before.length > 50 && after.length > 50,
    `${before.length} of the old model, ${after.length} of the new one`,
  );
  return { changed, expected: [...before, ...after] };
}
const allOf = async (bus: NatsBus, topic: Topic) =>
  published(bus, topic, (await endsOf(bus.nats, streamOf(topic))).last);

test('a model that changes, with another recipe: no minute is missing and none has two models', async (t) => {
  const { bus, join } = await setUp(t);
  let active = MODEL;
  const models = { current: () => ({ active, shadow: active === MODEL ? undefined : MODEL }), close: async () => {} };
  for (let f = 0; f < 2; f++) await join(models);
  for (const [m, bars] of MINUTES.entries()) {
    if (m === 80) active = ANOTHER;
    await bus.publish('bars', bars);
  }
  await allForecast(bus);
  const found = await allOf(bus, 'forecasts');
  const { changed, expected } = eachByItsModel(found);
  assert.deepEqual(bytesOf(found), bytesOf(expected));
  // The old one goes on as the shadow, in the minutes of the new one.
  const silent = EXPECTED.filter((it) => changed.has(it.asOf));
  assert.deepEqual(bytesOf(await allOf(bus, 'shadow')), bytesOf(silent));
});

test('a model that changes while another forecaster still has an older batch gets windows without a gap', {
  timeout: 60_000,
}, async (t) => {
  const { bus, join } = await setUp(t);
  const newest = [0, 0];
  let holder: number | undefined;
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const modelsOf = (f: number) => {
    const watched = (model: Predictor): Predictor => ({
      ...model,
      async predict(windows) {
        const minute = windows.asOf[0] - OPEN - 1;
        if (minute >= 70) holder ??= f;
        if (holder === f) await held;
        newest[f] = Math.max(newest[f], minute);
        return model.predict(windows);
      },
    });
    const [old, next] = [watched(MODEL), watched(ANOTHER)];
    return { current: () => ({ active: holder === 1 - f && newest[f] >= 74 ? next : old }), close: async () => {} };
  };
  for (let f = 0; f < 2; f++) await join(modelsOf(f));
  for (const [m, bars] of MINUTES.entries()) {
    await bus.publish('bars', bars);
    // One keeps minute 70 or 71; the other one forecasts what comes after it, alone.
    if (m > 71 && m < 79) await until(() => holder !== undefined && newest[1 - holder] >= m);
    if (m === 79) letGo();
  }
  await allForecast(bus);
  const found = await allOf(bus, 'forecasts');
  assert.deepEqual(bytesOf(found), bytesOf(eachByItsModel(found).expected));
});

/** Has the batches recorded, by a forecaster that has no symbols. */
async function record({ bus, join }: Pick<Awaited<ReturnType<typeof setUp>>, 'bus' | 'join'>): Promise<void> {
  const recording = await join(fixedModel(MODEL), { group: 'recording', symbols: [] });
  await allRecorded(bus);
  await recording.leave();
}

test('a batch that another model has begun is ended by that model, if anybody still has it', async (t) => {
  const { bus, join } = await setUp(t);
  const ofMinute = (forecasts: readonly Forecast[], minute: number) =>
    forecasts.filter((it) => it.asOf === isoOfMinute(epochMinute(OPEN + minute + 1)));
  // A forecaster that dies in the middle of each batch, and some forecasts that it leaves.
  const dead = await SharedWork.join(bus.nats, 'test', 300);
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await record({ bus, join });
  const taken = dead.batches(new AbortController().signal);
  for (let i = 0; i < MINUTES.length; i++) await taken.next();
  const gone = ofMinute(BY_ANOTHER, 95).map((it) => ({ ...it, weightsHash: 'gone' }));
  const left = [ofMinute(BY_ANOTHER, 72), ofMinute(EXPECTED, 85), gone].map((it) => it.slice(0, 3));
  for (const forecasts of left) await bus.publish('forecasts', forecasts);
  // Begins with the old model; the new one comes at minute 72, as the second try of that batch asks for it.
  let active: Predictor = MODEL;
  let tries = 0;
  const old: Predictor = {
    ...MODEL,
    async predict(windows) {
      if (windows.asOf[0] - OPEN - 1 === 72 && ++tries === 2) active = ANOTHER;
      return MODEL.predict(windows);
    },
  };
  active = old;
  await join({ current: () => ({ active }), close: async () => {} });
  await allForecast(bus);
  const found = await allOf(bus, 'forecasts');
  const { changed, expected } = eachByItsModel(found.filter((it) => it.weightsHash !== 'gone'));
  for (const [minute, isChanged] of [
    [72, true],
    [85, false],
    [95, true],
  ] as const)
    assert.equal(changed.has(isoOfMinute(epochMinute(OPEN + minute + 1))), isChanged, `minute ${minute}`);
  const others = expected.filter((it) => !left[2].some(({ symbol, asOf }) => symbol === it.symbol && asOf === it.asOf));
  assert.deepEqual(bytesOf(found), bytesOf([...others, ...left[2]]));
});

test('bars faster than forecasts: minutes stay whole, the lag shows, and what waits is bounded', async (t) => {
  const { bus, join } = await setUp(t);
  const sizes: number[] = [];
  let go = () => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  const slow: Predictor = {
    ...MODEL,
    async predict(windows) {
      sizes.push(windows.asOf.length);
      await held;
      return MODEL.predict(windows);
    },
  };
  const forecaster = await join(fixedModel(slow));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await until(() => forecaster.counts.waitingBatches >= 35);
  assert.equal(sizes.length, 1, 'one prediction at a time');
  go();
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  await until(() => forecaster.counts.waitingBatches === 0);
  const whole = [...Map.groupBy(EXPECTED, (it) => it.asOf).values()].map((it) => it.length);
  assert.deepEqual(sizes, whole, 'each minute in one prediction');
  assert.ok(forecaster.counts.lagMs > 0);
});

test('hundreds of minutes at once: whoever forecasts them, every one is scored as it is for whoever was there', async (t) => {
  const { bus, connect, join } = await setUp(t);
  const minutes = madeUpMinutes(10, 300);
  const expected = await undisturbed(minutes, MODEL);
  const there = new LiveState({ longestQuietRun: 3 });
  for (const bars of minutes) {
    const asOf = isoOfMinute(epochMinute(bars[0].minute + 1));
    there.acceptBars(bars);
    there.acceptForecasts(expected.filter((it) => it.asOf === asOf));
  }
  const state = new LiveState({ longestQuietRun: 3 });
  const feed = await feedState(await connect(), state);
  for (let f = 0; f < 3; f++) {
    await join(fixedModel(MODEL));
  }
  await Promise.all(minutes.map((bars) => bus.publish('bars', bars)));
  const scoresOf = ({ scores }: LiveState) => scores.list().map((board) => board.report());
  const seen = () => {
    const [board] = state.scores.list().map((it) => it.summary());
    return board === undefined ? 0 : board.overall.total.forecasts + board.unscored + board.waiting;
  };
  await until(() => seen() === expected.length);
  await until(() => state.bars.symbols().every((symbol) => state.bars.list(symbol).at(-1)!.minute >= OPEN + 298));
  feed.close();
  assert.deepEqual(scoresOf(state), scoresOf(there));
});

test('what a forecaster left behind when it died is forecast by one that has fallen a window of minutes behind', async (t) => {
  const { bus, join } = await setUp(t);
  // Takes a batch and never answers, as one that died does.
  const dead = await SharedWork.join(bus.nats, 'test', 2000);
  const stop = new AbortController();
  const taken = dead.batches(stop.signal);
  const holding = (async () => {
    const sequences: number[] = [];
    while (sequences.length < 2) sequences.push((await taken.next()).value!.message.seq);
    return sequences;
  })();
  await join(fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  assert.equal((await holding).length, 2);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  stop.abort();
});

test('a forecaster that holds a batch and never answers: after three answers the others forecast it', async (t) => {
  const { bus, join } = await setUp(t);
  const answerMs = 200;
  const holder = await SharedWork.join(bus.nats, 'test', answerMs);
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await record({ bus, join });
  const taken = holder.batches(new AbortController().signal);
  for (let m = 0; m < 70; m++) (await taken.next()).value!.message.nak(2000);
  const held = (await taken.next()).value!.message;
  // It says that it is working on it, so that the server gives it to nobody else.
  const working = setInterval(() => held.working(), answerMs / 4);
  t.after(() => clearInterval(working));
  await join(fixedModel(MODEL), { answerMs });
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  assert.ok((await holder.state()).doneTo < held.seq, 'the batch is still its own');
  clearInterval(working);
  await allForecast(bus);
  assert.equal((await endsOf(bus.nats, 'FORECASTS')).last, EXPECTED.length, 'and is doubled by nobody');
});

test('a batch that died with its forecasts published is not forecast again, however long ago that was', async (t) => {
  const { bus, join } = await setUp(t);
  // The server forgets ids after a moment, and a second group stands for the one that died before it answered.
  await bus.nats.manager.streams.update('FORECASTS', { duplicate_window: nanos(100) });
  const dead = await SharedWork.join(bus.nats, 'again', 300);
  const forecaster = await join(fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await published(bus, 'forecasts', EXPECTED.length);
  await forecaster.leave();
  const taken = dead.batches(new AbortController().signal);
  for (let i = 0; i < MINUTES.length; i++) await taken.next();
  const heir = await join(fixedModel(MODEL), { group: 'again', rememberedMs: 300 });
  while ((await dead.state()).doneTo < MINUTES.length) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await endsOf(bus.nats, 'FORECASTS')).last, EXPECTED.length);
  // It would have forecast them: a batch that is new is.
  assert.equal(heir.counts.forecasts, EXPECTED.length);
});

test('a second group forecasts everything too, from when it joined', async (t) => {
  const { bus, join } = await setUp(t);
  await join(fixedModel(MODEL));
  for (const bars of MINUTES.slice(0, 80)) await bus.publish('bars', bars);
  await allForecast(bus);
  const other = { ...sensitiveModel(MODEL.scaler, 'another'), name: 'another' };
  await join(fixedModel(other), { group: 'second' });
  for (const bars of MINUTES.slice(80)) await bus.publish('bars', bars);
  const since = new Date((OPEN + 81) * 60_000).toISOString();
  const late = (await undisturbed(MINUTES, other)).filter((it) => it.asOf >= since);
  const found = await published(bus, 'forecasts', EXPECTED.length + late.length);
  assert.deepEqual(bytesOf(found), [...bytesOf(EXPECTED), ...bytesOf(late)].sort());
});
