/** A recorded session, live over each bus and replayed: the same forecasts to the byte, and the scores of `evaluate`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateForecasts } from '../../src/evaluate/index.ts';
import { buildWindows, recipeOf } from '../../src/features/index.ts';
import {
  type Bus,
  type Forecast,
  Forecaster,
  feedState,
  fixedModel,
  LiveState,
  memoryBus,
  type NatsBus,
  natsBus,
} from '../../src/stream/index.ts';
import { marketOf } from './fixtures.ts';
import { natsServer } from './nats-server.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import { joinForecasters, undisturbed, until } from './shared-support.ts';

const MINUTES = madeUpMinutes(10, 120);
const MODEL = sensitiveModel(scalerOf(MINUTES));
const RECIPE = recipeOf('returns');

/** The session over a bus: what was shown, and what the scoreboard says of it. */
async function live(bus: Bus, replay: readonly Forecast[]) {
  const state = new LiveState({ longestQuietRun: RECIPE.quiet.longestRun, forecastsPerSymbol: 1000 });
  state.setModel(MODEL);
  const shown: Forecast[] = [];
  state.listen((event) => event.type === 'forecasts' && shown.push(...event.forecasts));
  const showing = await feedState(bus, state);
  const kept = () => state.bars.symbols().reduce((sum, symbol) => sum + state.bars.list(symbol).length, 0);
  let [bars, forecasts] = [0, 0];
  for (const minute of MINUTES) {
    await bus.publish('bars', minute);
    bars += minute.length;
    forecasts += replay.filter(({ asOf }) => Date.parse(asOf) === (minute[0].minute + 1) * 60_000).length;
    // As in a market, a minute is forecast before the next one comes.
    await until(() => shown.length === forecasts && kept() === bars);
  }
  showing.close();
  showing.close();
  return { shown, scores: state.scoreboard!.report().overall.total };
}

const overMemory = async (replay: readonly Forecast[]) => {
  const bus = memoryBus();
  const running = new Forecaster(fixedModel(MODEL)).run(await bus.subscribe('bars', { name: 'f' }), bus);
  const found = await live(bus, replay);
  await bus.close();
  await running;
  return found;
};

test('replay, evaluate and a live session over either bus agree', async (t) => {
  const buses: NatsBus[] = [];
  t.after(() => Promise.all(buses.map((bus) => bus.close())));
  const { url } = await natsServer(t);
  for (let i = 0; i < 2; i++) buses.push(await natsBus({ url }));
  const replay = await undisturbed(MINUTES, MODEL);
  assert.ok(replay.length > 500, `${replay.length}`);

  const forecasters = await Promise.all(buses.map((bus) => joinForecasters(bus, fixedModel(MODEL))));
  const sessions = { memory: await overMemory(replay), nats: await live(buses[0], replay) };
  for (const forecaster of forecasters) await forecaster.leave();

  const built = buildWindows(marketOf(MINUTES.flat()), RECIPE, { requireTarget: true });
  const windows = RECIPE.scale(built, MODEL.scaler);
  const { predictedReturn, low, high } = await MODEL.predict(windows);
  const price = (returns: Float64Array) => returns.map((value, i) => windows.lastClose[i] * Math.exp(value));
  const evaluation = evaluateForecasts(
    { windows, predictedReturn, low: price(low), high: price(high), ridgeReturn: null },
    { horizonMinutes: MODEL.horizonMinutes },
  );
  for (const [name, { shown, scores }] of Object.entries(sessions)) {
    assert.deepEqual(bytesOf(shown), bytesOf(replay), name);
    assert.equal(scores.forecasts, evaluation.windows, name);
    assert.equal(scores.coverage, evaluation.coverage80, name);
    assert.equal(scores.directionalAccuracy, evaluation.model.directionalAccuracy, name);
    assert.ok(Math.abs(scores.skill! - evaluation.model.skill!) < 1e-9, `${name}: ${scores.skill}`);
  }
  assert.deepEqual(sessions.nats.scores, sessions.memory.scores);
});
