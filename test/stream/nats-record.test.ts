/** Items as bytes: they come back bit for bit, whatever is no item is refused, and JSON is read beside them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { epochMinute, Random } from '../../src/base/index.ts';
import type { Forecast } from '../../src/stream/index.ts';
import { Decoder, encode, encodeJson } from '../../src/stream/nats-wire.ts';
import { bar, forecastOf, OPEN } from './fixtures.ts';

const bytesOf = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? new TextEncoder().encode(data) : data;

const EXTREMES = [0, -0, 1, -1.5, 1e-320, Number.MIN_VALUE, Number.MAX_VALUE, 0.1 + 0.2, 2 ** 53 + 2];

/** Bars with every extreme in every place, missing values among them. */
const bars: Bar[] = [...EXTREMES, Number.NaN].map((value, i, all) => ({
  symbol: i % 2 === 0 ? 'A' : 'VOD.L',
  minute: epochMinute([0, OPEN, 2 ** 31 - 1][i % 3]),
  open: value,
  high: all[(i + 1) % all.length],
  low: all[(i + 2) % all.length],
  close: all[(i + 3) % all.length],
  volume: all[(i + 4) % all.length],
}));

const forecasts: Forecast[] = EXTREMES.map((value, i, all) => ({
  ...forecastOf(i % 2 === 0 ? 'A' : 'BRK-B', OPEN + i, 100, 0.001),
  horizonMinutes: [1, 5, 65_535][i % 3],
  predictedReturn: value,
  volatility: all[(i + 1) % all.length],
  interval: { level: 0.8, low: all[(i + 2) % all.length], high: all[(i + 3) % all.length] },
  model: ['toy', 'ein Modell', 'µ'.repeat(100)][i % 3],
  weightsHash: ['abc', 'f'.repeat(64)][i % 2],
  latencyMs: all[(i + 4) % all.length],
}));

test('a batch comes back as it was, to the bit', () => {
  const read = new Decoder('bars');
  const records = encode('bars', bars);
  assert.ok(records.every((record) => record.length === 45 && typeof record !== 'string'));
  assert.deepEqual(
    records.map((record, i) => read.decode(`bars.${bars[i].symbol}`, bytesOf(record))),
    bars,
  );
  const readForecast = new Decoder('forecasts');
  const found = encode('forecasts', forecasts).map((record, i) => {
    assert.notEqual(typeof record, 'string');
    return readForecast.decode(`forecasts.${forecasts[i].symbol}`, bytesOf(record));
  });
  assert.deepEqual(found, forecasts);
});

test('the layout is the one that is written down', () => {
  const [record] = encode('bars', [{ ...bar('A', 0x01020304, 1), high: 2, low: -2, close: 0.5, volume: Number.NaN }]);
  const expected = '01 04030201 000000000000f03f 0000000000000040 00000000000000c0 000000000000e03f 000000000000f87f';
  assert.equal(Buffer.from(record as Uint8Array).toString('hex'), expected.replaceAll(' ', ''));
  const forecast: Forecast = { ...forecastOf('A', 0x01020304, 1, 0), horizonMinutes: 5, model: 'm', weightsHash: 'ab' };
  const hex = Buffer.from(encode('forecasts', [forecast])[0] as Uint8Array).toString('hex');
  assert.match(hex, /^01040302010500000000000000f03f.{112}016d026162$/);
});

test('what the bytes cannot hold as it is goes as JSON', () => {
  const read = new Decoder('forecasts');
  const odd: Forecast[] = [
    { ...forecastOf('A', OPEN, 100, 0), model: 'm'.repeat(256) },
    { ...forecastOf('A', OPEN, 100, 0), weightsHash: 'µ'.repeat(200) },
    { ...forecastOf('A', OPEN, 100, 0), asOf: '2020-01-02T14:30:00Z' },
    { ...forecastOf('A', OPEN, 100, 0), horizonMinutes: 65_536 },
  ];
  const data = encode('forecasts', [...odd, forecastOf('A', OPEN, 100, 0)]);
  assert.deepEqual(
    data.map((it) => typeof it),
    ['string', 'string', 'string', 'string', 'object'],
  );
  assert.deepEqual(
    odd.map((_, i) => read.decode('forecasts.A', bytesOf(data[i]))),
    odd,
  );
  const [infinite] = encode('bars', [{ ...bar('A', OPEN, 1), high: Number.POSITIVE_INFINITY }]);
  assert.deepEqual(new Decoder('bars').decode('bars.A', bytesOf(infinite)), { ...bar('A', OPEN, 1), high: Number.NaN });
});

test('JSON of earlier versions and of others is read beside records', () => {
  const read = new Decoder('bars');
  const both = [bar('A', OPEN, 1), bar('A', OPEN + 1, 2), bar('A', OPEN + 2, 3)];
  const data = [encodeJson('bars', both[0]), encode('bars', both)[1], `\t${encodeJson('bars', both[2])}`];
  assert.deepEqual(
    data.map((it) => read.decode('bars.A', bytesOf(it))),
    both,
  );
  const forecast = forecastOf('A', OPEN, 100, 0.001);
  const readForecast = new Decoder('forecasts');
  for (const it of [encodeJson('forecasts', forecast), encode('forecasts', [forecast])[0]])
    assert.deepEqual(readForecast.decode('forecasts.A', bytesOf(it)), forecast);
});

test('damaged records, those of another version and those on another subject are refused', () => {
  const record = bytesOf(encode('bars', [bar('A', OPEN, 100)])[0]);
  const forecast = bytesOf(encode('forecasts', [forecastOf('A', OPEN, 100, 0.001)])[0]);
  const read = new Decoder('bars');
  const readForecast = new Decoder('forecasts');
  const changed = (data: Uint8Array, at: number, bytes: readonly number[]) => {
    const copy = Uint8Array.from(data);
    copy.set(bytes, at);
    return copy;
  };
  for (const version of [2, 8]) {
    assert.equal(read.decode('bars.A', changed(record, 0, [version])), 'unknownFormat');
    assert.equal(readForecast.decode('forecasts.A', changed(forecast, 0, [version])), 'unknownFormat');
  }
  assert.equal(read.decode('bars.a', record), 'wrongSubject');
  assert.equal(read.decode('forecasts.A', record), 'wrongSubject');
  assert.equal(read.decode('bars.A', changed(record, 1, [0xff, 0xff, 0xff, 0xff])), 'notAnItem', 'no such minute');
  assert.equal(read.decode('bars.A', changed(record, 11, [0xf0, 0x7f])), 'notAnItem', 'infinite');
  const infinite = [0, 0, 0, 0, 0, 0, 0xf0, 0x7f];
  const nan = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];
  for (let i = 0; i < 5; i++) assert.equal(read.decode('bars.A', changed(record, 5 + 8 * i, infinite)), 'notAnItem');
  for (let i = 0; i < 8; i++)
    for (const value of [infinite, nan])
      assert.equal(readForecast.decode('forecasts.A', changed(forecast, 7 + 8 * i, value)), 'notAnItem');
  assert.equal(readForecast.decode('forecasts.A', changed(forecast, 5, [0, 0])), 'notAnItem', 'no horizon');
  assert.equal(readForecast.decode('forecasts.A', changed(forecast, 72, [0xff])), 'notAnItem', 'no UTF-8');
  for (let length = 1; length < record.length; length++)
    assert.equal(read.decode('bars.A', record.subarray(0, length)), 'notAnItem');
  for (let length = 1; length < forecast.length; length++)
    assert.equal(readForecast.decode('forecasts.A', forecast.subarray(0, length)), 'notAnItem');
  assert.equal(read.decode('bars.A', Uint8Array.from([...record, 0])), 'notAnItem');
  assert.equal(readForecast.decode('forecasts.A', Uint8Array.from([...forecast, 0])), 'notAnItem');
  const random = new Random(5);
  for (let i = 0; i < 20_000; i++) {
    const bytes = Uint8Array.from(forecast);
    for (let n = 0; n < 3; n++) bytes[Math.floor(random.uniform() * bytes.length)] = Math.floor(random.uniform() * 256);
    const found = readForecast.decode('forecasts.A', bytes);
    if (typeof found === 'string') continue;
    const { lastClose, predictedClose, predictedReturn, volatility, interval, latencyMs, horizonMinutes } = found;
    const numbers = [lastClose, predictedClose, predictedReturn, volatility, interval.low, interval.high, latencyMs];
    assert.ok(numbers.every(Number.isFinite) && horizonMinutes >= 1 && found.symbol === 'A', `${i}`);
    assert.ok(found.model.length > 0 && found.weightsHash.length > 0);
  }
});
