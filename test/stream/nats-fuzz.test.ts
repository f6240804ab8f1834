/** Whoever may publish on the bus may send anything: it is refused and counted, and changes nothing for anybody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headers } from '@nats-io/transport-node';
import { Random } from '../../src/base/index.ts';
import { fixedModel, natsBus } from '../../src/stream/index.ts';
import { Decoder, encode, encodeJson, MESSAGE_LIMIT } from '../../src/stream/nats-wire.ts';
import { readerOf } from './bus-conformance.ts';
import { bar, forecastOf, OPEN } from './fixtures.ts';
import { natsServer } from './nats-server.ts';
import { bytesOf, madeUpMinutes, scalerOf, sensitiveModel } from './sensitive-model.ts';
import { joinForecasters, published, undisturbed } from './shared-support.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const good = encodeJson('bars', bar('A', OPEN, 100));
const without = (name: string) => JSON.stringify({ ...JSON.parse(good), [name]: undefined });
const withValue = (name: string, value: unknown) => JSON.stringify({ ...JSON.parse(good), [name]: value });

/** Messages on `bars.A` that are no bar of A. */
const HOSTILE: readonly (string | Uint8Array)[] = [
  '',
  'null',
  '[]',
  '"A"',
  '{}',
  good.slice(0, -1),
  `${good}x`,
  `${'['.repeat(2000)}`,
  good.replace('"A"', '"B"'),
  good.replace('"A"', '"a"'),
  good.replace('"A"', '"A.>"'),
  ...['symbol', 'minute', 'open', 'high', 'low', 'close', 'volume'].map(without),
  ...[1, '', 'A\u0000', '*', '>', '../../etc/passwd', '<script>', 'Ä', {}, null].map((v) => withValue('symbol', v)),
  ...[0, -1, '2020-01-02', '2020-01-02T14:30:30Z', '2020-13-40T99:99:00Z', '9999-12-31T23:59:00Z', null].map((v) =>
    withValue('minute', v),
  ),
  ...['1', true, {}, [1]].map((v) => withValue('close', v)),
  good.replace('"close":100', '"close":1e999'),
  `{"__proto__":{"symbol":"A"},"constructor":1}`,
  Uint8Array.of(0xff, 0xfe, 0, 1, 2),
  bytes(good).subarray(1),
  'x'.repeat(MESSAGE_LIMIT + 1),
];

const [goodRecord] = encode('bars', [bar('A', OPEN, 100)]) as Uint8Array[];

/** Random bytes, a record that was cut short, or good JSON with random damage. */
function randomMessage(random: Random): Uint8Array {
  const at = (n: number) => Math.floor(random.uniform() * n);
  if (random.uniform() < 0.5) return Uint8Array.from({ length: at(300) }, () => at(256));
  if (random.uniform() < 0.2) return goodRecord.subarray(0, at(goodRecord.length));
  const damaged = bytes(good);
  for (let i = 0; i <= at(4); i++) damaged[at(damaged.length)] = at(256);
  return damaged;
}

test('the decoder takes what was encoded and nothing that is not an item', () => {
  const bars = new Decoder('bars');
  assert.deepEqual(bars.decode('bars.A', bytes(good)), bar('A', OPEN, 100));
  for (const message of HOSTILE) {
    const data = typeof message === 'string' ? bytes(message) : message;
    assert.equal(typeof bars.decode('bars.A', data), 'string', new TextDecoder().decode(data.subarray(0, 80)));
  }
  const random = new Random(3);
  for (let i = 0; i < 20_000; i++) {
    const found = bars.decode('bars.A', randomMessage(random));
    if (typeof found === 'string') continue;
    // Damage may leave a bar of A that is whole; then it is one in every respect.
    assert.equal(found.symbol, 'A');
    assert.ok(Number.isInteger(found.minute) && [found.open, found.close].every((v) => typeof v === 'number'));
  }
  const forecasts = new Decoder('forecasts');
  const forecast = forecastOf('A', OPEN, 100, 0.001);
  assert.deepEqual(forecasts.decode('forecasts.A', bytes(encodeJson('forecasts', forecast))), forecast);
  for (const name of Object.keys(forecast)) {
    const data = bytes(JSON.stringify({ ...forecast, [name]: null }));
    assert.equal(forecasts.decode('forecasts.A', data), 'notAnItem', name);
  }
});

test('hostile messages among the bars change no forecast and hold nobody up', async (t) => {
  const server = await natsServer(t);
  const bus = await natsBus({ url: server.url });
  const stranger = await natsBus({ url: server.url });
  const minutes = madeUpMinutes(10, 80);
  const model = sensitiveModel(scalerOf(minutes));
  const forecaster = await joinForecasters(bus, fixedModel(model));
  const watching = readerOf(await bus.subscribe('bars', { name: 'watching' }));
  const random = new Random(4);
  const { connection } = stranger.nats;
  let [sent, watched] = [0, 0];
  for (const [m, bars] of minutes.entries()) {
    const attacks = m % 8 === 0 ? HOSTILE : Array.from({ length: 5 }, () => randomMessage(random));
    for (const attack of attacks) {
      const header = headers();
      if (random.uniform() < 0.3) header.set('Barcast-End', '1');
      // A real symbol's subject, another one's, one of many tokens.
      const subject = ['bars.S1', 'bars.ZZZ', 'bars.a.b.c.d.e'][sent % 3];
      connection.publish(subject, attack, { headers: header });
      sent++;
    }
    await connection.flush();
    await bus.publish('bars', bars);
  }
  const expected = await undisturbed(minutes, model);
  assert.deepEqual(bytesOf(await published(bus, 'forecasts', expected.length)), bytesOf(expected));
  const total = minutes.flat().length;
  while (watched < total) watched += (await watching())!.items.length;
  assert.equal(watched, total);
  // Those that are too large never came in: the server refuses them.
  const tooLarge = Math.ceil(minutes.length / 8);
  assert.equal(forecaster.counts.refusedMessages, sent - tooLarge);
  assert.equal(
    Object.values(bus.refused).reduce((sum, n) => sum + n, 0),
    sent - tooLarge,
  );
  await forecaster.leave();
  await stranger.close();
  await bus.close();
});
