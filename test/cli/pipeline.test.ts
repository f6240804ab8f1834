/**
 * The main job end to end through the command line, against the simulated exchange: ingest, train, evaluate, predict,
 * replay, serve. The market is fixed by its seed and its clock, so what is asked of the scores cannot drift.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sessionOf } from '../../src/bars/index.ts';
import { type DayString, type EpochMs, epochMinute } from '../../src/base/index.ts';
import { type Exchange, startExchange } from '../../src/sources/index.ts';
import type { Forecast } from '../../src/stream/index.ts';
import { answer, start, temporaryFolder } from './support.ts';

const SYMBOLS = [
  'SPY',
  'AAPL',
  'AMZN',
  'BRK-B',
  'CAT',
  'DIS',
  'F',
  'GE',
  'HD',
  'IBM',
  'JNJ',
  'KO',
  'LLY',
  'MCD',
  'NKE',
  'ORCL',
  'PG',
  'QCOM',
  'SBUX',
  'XOM',
];
const LAST_TRAINING_DAY = '2025-03-12';
const TEST_DAYS = ['2025-03-13', '2025-03-14'] as DayString[];

interface Scores {
  readonly skill: number;
  readonly skillScaled: number;
  readonly skillScaledCi95: [number, number];
}
interface Evaluation {
  readonly windows: number;
  readonly model: Scores;
  readonly persistence: Scores;
  readonly ridge: Scores;
  readonly coverage80: number;
  readonly coverageByHour: Readonly<Record<string, number>>;
  readonly verdict: string;
  readonly breakdowns: { readonly bySymbol: readonly { part: string; skill: number; coverage80: number }[] };
}

describe('from an exchange to live forecasts', () => {
  const folder = temporaryFolder();
  let exchange: Exchange;
  const call = <T>(...args: string[]) => answer<T>(args, folder.path);
  before(async () => {
    exchange = await startExchange({
      port: 0,
      seed: 7,
      symbols: SYMBOLS,
      now: Date.parse('2025-03-14T20:30:00Z') as EpochMs,
    });
  });
  after(async () => {
    await exchange.close();
    folder.remove();
  });

  it('ingests through the Yahoo path, and a second time asks for nothing', async () => {
    const args = [
      'ingest',
      '--source',
      'yahoo',
      '--yahoo-url',
      exchange.url,
      '--symbols',
      SYMBOLS.join(','),
      '--from',
      '2025-03-03',
    ];
    const first = await call<{ symbols: number; rowsStored: number }>(...args);
    assert.equal(first.symbols, SYMBOLS.length);
    assert.ok(first.rowsStored > 0.9 * SYMBOLS.length * 10 * 390, `${first.rowsStored} bars`);
    const second = await call<{ rowsRead: number; rowsStored: number; daysHeld: number }>(...args);
    assert.deepEqual([second.rowsRead, second.rowsStored, second.daysHeld], [0, 0, SYMBOLS.length * 10]);
    const doctor = await call<{ bars: number; tradingDays: number }>('doctor');
    assert.deepEqual([doctor.bars, doctor.tradingDays], [first.rowsStored, 10]);
  });

  it('trains, and the same seed gives the same weights', async () => {
    const train = (name: string, seed: string) =>
      call<{ weightsHash: string; version: string; kernel: string }>(
        'train',
        '--to',
        LAST_TRAINING_DAY,
        '--name',
        name,
        '--seed',
        seed,
        '--epochs',
        '3',
        '--batch',
        '128',
      );
    const first = await train('first', '1');
    if (first.kernel === 'reference') return; // Repeating it would take minutes; test/train holds the same on a small network.
    const again = await train('again', '1');
    assert.equal(again.weightsHash, first.weightsHash);
    const other = await train('other', '2');
    assert.notEqual(other.weightsHash, first.weightsHash);
  });

  it('beats persistence and the ridge on days it has not seen', async (t) => {
    const evaluation = await call<Evaluation>('evaluate', 'first', '--from', TEST_DAYS[0], '--to', TEST_DAYS[1]);
    const [open, close] = [sessionOf(TEST_DAYS[0])!.open, sessionOf(TEST_DAYS[1])!.close];
    const best = exchange.market.bestReachable({ symbols: SYMBOLS, from: open, to: epochMinute(close) });
    const share = evaluation.model.skillScaled / best.skillScaled!;
    t.diagnostic(
      `scaled skill ${(100 * evaluation.model.skillScaled).toFixed(1)}% of at best ${(100 * best.skillScaled!).toFixed(1)}%: ${(100 * share).toFixed(0)}% of what any forecaster could reach`,
    );
    assert.equal(evaluation.persistence.skill, 0);
    assert.ok(evaluation.model.skillScaledCi95[0] > 0, 'the interval of the skill lies above zero');
    assert.equal(evaluation.verdict, 'edge over persistence');
    assert.ok(evaluation.model.skillScaled > evaluation.ridge.skillScaled, 'ahead of the ridge');
    assert.ok(share > 0.85 && share < 1.02, `${share} of the best reachable`);
    assert.ok(Math.abs(evaluation.coverage80 - 0.8) < 0.05, `coverage ${evaluation.coverage80}`);
    assert.deepEqual(Object.keys(evaluation.coverageByHour), ['10:30', '11:30', '12:30', '13:30', '14:30', '15:30']);
    for (const [hour, coverage] of Object.entries(evaluation.coverageByHour))
      assert.ok(Math.abs(coverage - 0.8) < 0.1, `coverage ${coverage} in the hour from ${hour}`);
  });

  it('predicts and replays the same forecasts, live and from the store', async () => {
    const { forecasts } = await call<{ forecasts: Forecast[] }>(
      'replay',
      'first',
      '--from',
      TEST_DAYS[1],
      '--to',
      TEST_DAYS[1],
    );
    assert.equal(new Set(forecasts.map(({ symbol }) => symbol)).size, SYMBOLS.length);
    const asOf = '2025-03-14T18:00:00.000Z';
    const { predictions } = await call<{ predictions: Forecast[] }>('predict', 'first', '--as-of', asOf);
    assert.ok(predictions.some((forecast) => forecast.asOf === asOf));
    const bare = ({ latencyMs: _, ...rest }: Forecast) => rest;
    // One symbol alone, and the market read beside it: the same to the bit.
    const [some] = predictions;
    const alone = await call<{ predictions: Forecast[]; withoutWindow: string[] }>(
      'predict',
      'first',
      '--symbols',
      some.symbol,
      '--as-of',
      asOf,
    );
    assert.deepEqual(alone.predictions.map(bare), [bare(some)]);
    assert.deepEqual(alone.withoutWindow, []);
    const replayedAlone = await call<{ forecasts: Forecast[] }>(
      'replay',
      'first',
      '--symbols',
      some.symbol,
      '--from',
      TEST_DAYS[1],
      '--to',
      TEST_DAYS[1],
    );
    assert.deepEqual(
      replayedAlone.forecasts.map(bare),
      forecasts.filter(({ symbol }) => symbol === some.symbol).map(bare),
    );
    const evaluated = async (...symbols: string[]) =>
      (await call<Evaluation>('evaluate', 'first', '--from', TEST_DAYS[1], '--to', TEST_DAYS[1], ...symbols)).breakdowns
        .bySymbol;
    const all = await evaluated();
    assert.deepEqual(
      (await evaluated('--symbols', some.symbol)).map(({ part, skill, coverage80 }) => [part, skill, coverage80]),
      all.filter(({ part }) => part === some.symbol).map(({ part, skill, coverage80 }) => [part, skill, coverage80]),
    );
    for (const forecast of predictions) {
      const replayed = forecasts.find((other) => other.symbol === forecast.symbol && other.asOf === forecast.asOf);
      assert.deepEqual(bare(replayed!), bare(forecast));
      assert.ok(forecast.interval.low < forecast.predictedClose && forecast.predictedClose < forecast.interval.high);
    }
  });

  it('serves live from an exchange that runs, warm from the store at once, and scores what it forecast', async () => {
    const now = Date.parse('2025-03-14T16:00:00Z') as EpochMs;
    const running = await startExchange({ port: 0, seed: 7, symbols: SYMBOLS, now, speed: 120 });
    const args = ['--source', 'yahoo', '--yahoo-url', running.url, '--port', '0', '--json'];
    const server = start(['serve', '--model', 'first', ...args], folder.path);
    try {
      const { url } = JSON.parse(await server.printed(/\n/)) as { url: string };
      const get = async <T>(path: string) => (await (await fetch(`${url}/api/v1/${path}`)).json()) as T;
      type Board = { overall: { session: { forecasts: number } } };
      let scored = 0;
      while (scored < SYMBOLS.length) {
        // Within the limit of requests.
        await new Promise((resolve) => setTimeout(resolve, 100));
        scored = (await get<Board>('scoreboard')).overall.session.forecasts;
      }
      const { predictions } = await get<{ predictions: Forecast[] }>('predictions');
      assert.equal(predictions.length, SYMBOLS.length);
      for (const { asOf } of predictions)
        assert.ok(Date.parse(asOf) > now && Date.parse(asOf) <= running.clock.now(), asOf);
    } finally {
      server.child.kill('SIGTERM');
      assert.equal((await server.ended).status, 0);
      await running.close();
    }
  });

  it('serves a replay over HTTP and stops on a signal', async () => {
    const server = start(
      [
        'serve',
        '--model',
        'first',
        '--source',
        'replay',
        '--from',
        TEST_DAYS[1],
        '--to',
        TEST_DAYS[1],
        '--speed',
        '60000',
        '--port',
        '0',
        '--json',
      ],
      folder.path,
    );
    try {
      const { url } = JSON.parse(await server.printed(/\n/)) as { url: string };
      let served: Forecast[] = [];
      while (served.length < SYMBOLS.length) {
        const response = await fetch(`${url}/api/v1/predictions`);
        assert.equal(response.status, 200);
        served = ((await response.json()) as { predictions: Forecast[] }).predictions;
      }
      assert.deepEqual(
        served.map(({ symbol }) => symbol),
        [...SYMBOLS].sort(),
      );
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      assert.match(await (await fetch(url)).text(), /<html/);
    } finally {
      server.child.kill('SIGINT');
      assert.equal((await server.ended).status, 0);
    }
  });
});
