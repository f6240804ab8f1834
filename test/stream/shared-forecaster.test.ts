import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fixedModel, type NatsBus, natsBus } from '../../src/stream/index.ts';
import { natsServer } from './nats-server.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import { joinForecasters, published, undisturbed } from './shared-support.ts';

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
