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
  messagesOf,
  type NatsBus,
  natsBus,
  type Predictor,
  type Topic,
} from '../../src/stream/index.ts';
import { streamOf } from '../../src/stream/nats-connection.ts';
import { endsOf } from '../../src/stream/nats-reader.ts';
import { SharedWork } from '../../src/stream/shared-work.ts';
import { bar, OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import { allForecast, joinForecasters, killForecasters, published, undisturbed, until } from './shared-support.ts';

async function setUp(t: TestContext) {
  const buses: NatsBus[] = [];
  t.after(() => Promise.all(buses.map((bus) => bus.close())));
  const server = await natsServer(t);
  const connect = async () => {
    const bus = await natsBus({ url: server.url });
    buses.push(bus);
    return bus;
  };
  return { server, connect, bus: await connect() };
}

const MINUTES = madeUpMinutes(10, 100);
const MODEL = sensitiveModel(scalerOf(MINUTES));
const EXPECTED = await undisturbed(MINUTES, MODEL);

test('one forecaster on the bus makes the forecasts of an undisturbed replay, to the byte', async (t) => {
  const { bus, connect } = await setUp(t);
  const forecaster = await joinForecasters(await connect(), fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  assert.ok(EXPECTED.length > 300, `${EXPECTED.length}`);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  await forecaster.leave();
});

test('a forecaster that starts in the middle of a session has the windows of one that never stopped', async (t) => {
  const { bus, connect } = await setUp(t);
  const first = await joinForecasters(await connect(), fixedModel(MODEL));
  const forecastsUntil = (minute: number) =>
    EXPECTED.filter((it) => Date.parse(it.asOf) <= (OPEN + minute) * 60_000).length;
  for (const bars of MINUTES.slice(0, 80)) await bus.publish('bars', bars);
  await published(bus, 'forecasts', forecastsUntil(80));
  await first.leave();
  // Nobody forecasts while these come.
  for (const bars of MINUTES.slice(80, 90)) await bus.publish('bars', bars);
  const second = await joinForecasters(await connect(), fixedModel(MODEL));
  await second.warm;
  for (const bars of MINUTES.slice(90)) await bus.publish('bars', bars);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  await second.leave();
});

test('kill -9 of one forecaster after another: every forecast is there once, with the same bits', async (t) => {
  const { bus, server } = await setUp(t);
  const outcome = await killForecasters({ bus, url: server.url, symbols: 20, minutes: 130, killMs: 700, minuteMs: 60 });
  assert.ok(outcome.kills >= 3, `${outcome.kills} kills`);
  assert.deepEqual(outcome.found, outcome.expected);
});

test('kill -9 of the server: forecasters go on by themselves, and nothing is lost or doubled', async (t) => {
  const { bus, connect, server } = await setUp(t);
  const forecasters = [
    await joinForecasters(await connect(), fixedModel(MODEL)),
    await joinForecasters(await connect(), fixedModel(MODEL)),
  ];
  for (const [m, bars] of MINUTES.entries()) {
    const publishing = bus.publish('bars', bars);
    if (m === 70 || m === 85) {
      await server.kill('SIGKILL');
      await server.restart();
    }
    await publishing;
  }
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  for (const forecaster of forecasters) await forecaster.leave();
});

test('late, repeated and corrected bars change nothing that was forecast, and are counted', async (t) => {
  const { bus, connect } = await setUp(t);
  const forecaster = await joinForecasters(await connect(), fixedModel(MODEL));
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
  await forecaster.leave();
});

test('a model that changes, with another recipe: no minute is missing and none has two models', async (t) => {
  const { bus, connect } = await setUp(t);
  const cs205 = recipeOf('cs205');
  const other = sensitiveModel(scalerOf(MINUTES, cs205), 'another', cs205);
  let active = MODEL;
  const models = { current: () => ({ active, shadow: active === MODEL ? undefined : MODEL }), close: async () => {} };
  const forecasters = [await joinForecasters(await connect(), models), await joinForecasters(await connect(), models)];
  for (const [m, bars] of MINUTES.entries()) {
    if (m === 80) active = other;
    await bus.publish('bars', bars);
  }
  await allForecast(bus, MINUTES.length);
  const all = async (topic: Topic) => published(bus, topic, (await endsOf(bus.nats, streamOf(topic))).last);
  const found = await all('forecasts');
  // The change came between two minutes, and each minute has the forecasts of one model, all of them.
  const after = found.filter((it) => it.weightsHash === 'another').map((it) => it.asOf);
  const change = after.sort()[0];
  const since = (forecasts: Forecast[]) => forecasts.filter((it) => it.asOf >= change);
  const expected = [...EXPECTED.filter((it) => it.asOf < change), ...since(await undisturbed(MINUTES, other))];
  assert.ok(after.length > 50, `${after.length} of the new model`);
  assert.deepEqual(bytesOf(found), bytesOf(expected));
  // The old one goes on as the shadow, from the change on.
  assert.deepEqual(bytesOf(await all('shadow')), bytesOf(since(EXPECTED)));
  for (const forecaster of forecasters) await forecaster.leave();
});

test('bars faster than forecasts: minutes stay whole, the lag shows, and what waits is bounded', async (t) => {
  const { bus, connect } = await setUp(t);
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
  const forecaster = await joinForecasters(await connect(), fixedModel(slow));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await until(() => forecaster.counts.waitingBatches >= 35);
  assert.equal(sizes.length, 1, 'one prediction at a time');
  go();
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  await until(() => forecaster.counts.waitingBatches === 0);
  const whole = [...Map.groupBy(EXPECTED, (it) => it.asOf).values()].map((it) => it.length);
  assert.deepEqual(sizes, whole, 'each minute in one prediction');
  assert.ok(forecaster.counts.lagMs > 0);
  await forecaster.leave();
});

test('hundreds of minutes at once: whoever forecasts them, every one is scored as it is for whoever was there', async (t) => {
  const { bus, connect } = await setUp(t);
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
    const { leave } = await joinForecasters(await connect(), fixedModel(MODEL));
    t.after(leave);
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
  const { bus, connect } = await setUp(t);
  // Takes a batch and never answers, as one that died does.
  const dead = await SharedWork.join(bus.nats, 'test', 2000);
  const stop = new AbortController();
  const taken = dead.batches(stop.signal);
  const holding = (async () => {
    const sequences: number[] = [];
    while (sequences.length < 2) sequences.push((await taken.next()).value!.seq);
    return sequences;
  })();
  const forecaster = await joinForecasters(await connect(), fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  assert.equal((await holding).length, 2);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', EXPECTED.length)), bytesOf(EXPECTED));
  stop.abort();
  await forecaster.leave();
});

test('a batch that died with its forecasts published is not forecast again, however long ago that was', async (t) => {
  const { bus, connect } = await setUp(t);
  // The server forgets ids after a moment, and a second group stands for the one that died before it answered.
  await bus.nats.manager.streams.update('FORECASTS', { duplicate_window: nanos(100) });
  const dead = await SharedWork.join(bus.nats, 'again', 300);
  const forecaster = await joinForecasters(await connect(), fixedModel(MODEL));
  for (const bars of MINUTES) await bus.publish('bars', bars);
  await published(bus, 'forecasts', EXPECTED.length);
  await forecaster.leave();
  const taken = dead.batches(new AbortController().signal);
  for (let i = 0; i < MINUTES.length; i++) await taken.next();
  const heir = await joinForecasters(await connect(), fixedModel(MODEL), { group: 'again', rememberedMs: 300 });
  while ((await dead.state()).doneTo < MINUTES.length) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await endsOf(bus.nats, 'FORECASTS')).last, EXPECTED.length);
  // It would have forecast them: a batch that is new is.
  assert.equal(heir.counts.forecasts, EXPECTED.length);
  await heir.leave();
});

test('a second group forecasts everything too, from when it joined', async (t) => {
  const { bus, connect } = await setUp(t);
  const first = await joinForecasters(await connect(), fixedModel(MODEL));
  for (const bars of MINUTES.slice(0, 80)) await bus.publish('bars', bars);
  await allForecast(bus, 80);
  const other = sensitiveModel(MODEL.scaler, 'another');
  const second = await joinForecasters(await connect(), fixedModel(other), { group: 'second' });
  for (const bars of MINUTES.slice(80)) await bus.publish('bars', bars);
  const since = new Date((OPEN + 81) * 60_000).toISOString();
  const late = (await undisturbed(MINUTES, other)).filter((it) => it.asOf >= since);
  const found = await published(bus, 'forecasts', EXPECTED.length + late.length);
  assert.deepEqual(bytesOf(found), [...bytesOf(EXPECTED), ...bytesOf(late)].sort());
  await first.leave();
  await second.leave();
});
