import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sessionAt } from '../../src/bars/index.ts';
import { BarcastError, type EpochMinute, epochMinute, epochMs, silentProgress } from '../../src/base/index.ts';
import {
  type HistoryReport,
  type HistoryRequest,
  type HistoryRows,
  type HistorySource,
  ingestHistory,
} from '../../src/sources/index.ts';
import { openReader, openStore } from '../../src/store/index.ts';

const minuteOf = (text: string) => epochMinute(Date.parse(text) / 60_000);
/** Thursday and Friday, then Monday: three sessions. */
const FROM = minuteOf('2020-01-02T05:00:00Z');
const TO = minuteOf('2020-01-07T05:00:00Z');
const SESSION_MINUTES = 390;

/** A source whose close is the minute of the day; it notes what it is asked for. */
class Steady implements HistorySource {
  readonly name = 'steady';
  readonly tellsCover: boolean = true;
  now = epochMs(Date.parse('2020-02-01T00:00:00Z'));
  readonly clock = { now: () => this.now };
  readonly asked: string[] = [];
  unknown = new Set<string>();
  failing = new Set<string>();
  /** Called before each symbol's bars. */
  before: (symbol: string, count: number) => void = () => {};
  #count = 0;

  async *history({ symbols, from, to, spans }: HistoryRequest): AsyncGenerator<HistoryRows, HistoryReport> {
    const day = (minute: number) => new Date(minute * 60_000).toISOString().slice(0, 16);
    for (const symbol of symbols) {
      this.before(symbol, ++this.#count);
      if (this.unknown.has(symbol) || this.failing.has(symbol)) continue;
      for (const span of spans?.get(symbol) ?? [{ from, to }]) {
        this.asked.push(`${symbol} ${day(span.from)} ${day(span.to)}`);
        const rows = this.#rows(symbol, span.from, span.to);
        yield this.tellsCover ? { ...rows, covers: span } : rows;
      }
    }
    return {
      unknown: symbols.filter((symbol) => this.unknown.has(symbol)),
      failed: symbols.filter((symbol) => this.failing.has(symbol)).map((symbol) => ({ symbol, reason: 'no answer' })),
    };
  }

  #rows(symbol: string, from: EpochMinute, to: EpochMinute): HistoryRows {
    const minutes: number[] = [];
    for (let m = from; m < to && m * 60_000 <= this.now; m = (m + 1) as EpochMinute) if (sessionAt(m)) minutes.push(m);
    const column = (of: (minute: number) => number) => Float64Array.from(minutes, of);
    const price = () => column((minute) => 1 + (minute % 1440));
    return {
      symbol,
      timeMs: column((m) => m * 60_000),
      open: price(),
      high: price(),
      low: price(),
      close: price(),
      volume: column(() => 1),
      askedAt: this.now,
    };
  }
}

function setUp(t: TestContext, source = new Steady()) {
  const data = mkdtempSync(join(tmpdir(), 'barcast-test-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const ask = (symbols: string[], from = FROM, to = TO, signal?: AbortSignal) =>
    ingestHistory({
      source,
      symbols,
      from,
      to,
      data,
      progress: silentProgress,
      commitEveryMs: 0,
      ...(signal ? { signal } : {}),
    });
  const bars = async () => {
    const reader = await openReader(data);
    const { symbols, offsets } = await reader.read();
    reader.close();
    return symbols.map((symbol, s) => `${symbol} ${offsets[s + 1]! - offsets[s]!}`);
  };
  return { data, source, ask, bars };
}

test('what was answered is not asked again; new days and symbols are', async (t) => {
  const { source, ask, bars } = setUp(t);
  const friday = minuteOf('2020-01-04T00:00:00Z');
  const first = await ask(['A', 'B'], FROM, friday);
  assert.deepEqual([first.rowsStored, first.daysAsked, first.daysHeld], [4 * SESSION_MINUTES, 4, 0]);
  const again = await ask(['A', 'B'], FROM, friday);
  assert.deepEqual([again.rowsRead, again.daysAsked, again.daysHeld], [0, 0, 4]);
  const more = await ask(['A', 'B', 'C']);
  assert.deepEqual([more.rowsStored, more.daysAsked, more.daysHeld, more.symbols], [5 * SESSION_MINUTES, 5, 4, 3]);
  assert.deepEqual(source.asked, [
    'A 2020-01-02T14:30 2020-01-03T21:00',
    'B 2020-01-02T14:30 2020-01-03T21:00',
    'A 2020-01-06T14:30 2020-01-06T21:00',
    'B 2020-01-06T14:30 2020-01-06T21:00',
    'C 2020-01-02T14:30 2020-01-06T21:00',
  ]);
  assert.deepEqual(await bars(), ['A 1170', 'B 1170', 'C 1170']);
});

test('a session that has not ended, or was asked for in part, is asked for again', async (t) => {
  const { source, ask, bars } = setUp(t);
  source.now = epochMs(Date.parse('2020-01-03T15:00:30Z'));
  const during = await ask(['A']);
  assert.deepEqual([during.rowsStored, during.partialBars], [SESSION_MINUTES + 30, 1]);
  source.now = epochMs(Date.parse('2020-02-01T00:00:00Z'));
  const part = await ask(['A'], FROM, minuteOf('2020-01-06T15:00:00Z'));
  assert.deepEqual([part.daysHeld, part.daysAsked, part.alreadyStored], [1, 2, 30]);
  const rest = await ask(['A']);
  assert.deepEqual([rest.daysHeld, rest.daysAsked, rest.alreadyStored, rest.rowsStored], [2, 1, 30, 360]);
  assert.deepEqual(await bars(), ['A 1170']);
});

test('unknown and failed symbols are told, and asked for again', async (t) => {
  const { source, ask } = setUp(t);
  source.unknown.add('NONE');
  source.failing.add('B');
  const answer = await ask(['A', 'B', 'NONE']);
  assert.deepEqual(answer.unknown, ['NONE']);
  assert.deepEqual(answer.failed, [{ symbol: 'B', reason: 'no answer' }]);
  assert.deepEqual(answer.stillMissing, [
    { reason: 'no answer', symbols: ['B'], days: 3 },
    { reason: 'not known to steady', symbols: ['NONE'], days: 3 },
  ]);
  source.failing.clear();
  const again = await ask(['A', 'B', 'NONE']);
  assert.deepEqual(
    [again.daysHeld, again.failed, again.unknown, again.rowsStored],
    [3, [], ['NONE'], 3 * SESSION_MINUTES],
  );
});

test('all unknown, all failed', async (t) => {
  const { source, ask } = setUp(t);
  source.unknown.add('X').add('Y');
  await assert.rejects(ask(['X', 'Y']), { code: 'BARCAST_E_SYMBOL', message: /X, Y/ });
  source.failing.add('Z');
  await assert.rejects(ask(['X', 'Z']), { code: 'BARCAST_E_NETWORK', message: /Z: no answer/ });
});

test('a source that breaks off: what came is kept and the rest is asked for next time', async (t) => {
  const { source, ask, bars } = setUp(t);
  const symbols = Array.from({ length: 40 }, (_, i) => `S${i + 10}`);
  source.before = (_, count) => {
    if (count === 20) throw new BarcastError('BARCAST_E_RATE_LIMITED', 'too many requests', 'wait');
  };
  await assert.rejects(ask(symbols), {
    code: 'BARCAST_E_RATE_LIMITED',
    message: 'too many requests; 63 of 120 symbol days are still missing',
  });
  assert.equal((await bars()).length, 19);
  source.before = () => {};
  source.asked.length = 0;
  const rest = await ask(symbols);
  // What was answered in full is held.
  assert.equal(rest.daysHeld, 19 * 3);
  assert.deepEqual([rest.alreadyStored, rest.rowsStored], [0, 21 * 1170]);
  assert.deepEqual(
    await bars(),
    symbols.map((symbol) => `${symbol} 1170`),
  );
});

test('an abort stops, keeps what came, and says so', async (t) => {
  const { data, source, ask, bars } = setUp(t);
  const abort = new AbortController();
  source.before = (symbol) => symbol === 'C' && abort.abort();
  await assert.rejects(ask(['A', 'B', 'C', 'D'], FROM, TO, abort.signal), { code: 'BARCAST_E_INTERRUPTED' });
  assert.deepEqual(await bars(), ['A 1170', 'B 1170']);
  (await openStore(data)).close();
});

test('a range without a session asks for nothing', async (t) => {
  const { source, ask } = setUp(t);
  const answer = await ask(['A'], minuteOf('2020-01-04T05:00:00Z'), minuteOf('2020-01-06T05:00:00Z'));
  assert.deepEqual([answer.rowsRead, answer.daysAsked], [0, 0]);
  assert.deepEqual(source.asked, []);
});

test('the note of what was answered is one commit with its bars', async (t) => {
  const { data, ask } = setUp(t);
  await ask(['A']);
  const files = readdirSync(join(data, 'segments')).sort();
  assert.deepEqual(files, ['answered-00000001.parquet', 'bars-00000001.parquet']);
  assert.equal(JSON.parse(readFileSync(join(data, 'manifest.json'), 'utf8')).generation, 1);
});

test('a source that does not tell what its rows cover has answered when it ends', async (t) => {
  class Silent extends Steady {
    override readonly tellsCover = false;
  }
  const source = new Silent();
  const { ask } = setUp(t, source);
  source.before = (symbol) => {
    if (symbol === 'C') throw new BarcastError('BARCAST_E_NETWORK', 'gone', 'wait');
  };
  await assert.rejects(ask(['A', 'B', 'C']), { code: 'BARCAST_E_NETWORK' });
  source.before = () => {};
  const again = await ask(['A', 'B', 'C']);
  assert.deepEqual([again.daysHeld, again.alreadyStored], [0, 2 * 1170]);
  assert.equal((await ask(['A', 'B', 'C'])).daysHeld, 9);
});

test('a session whose halves come apart is answered by both together', async (t) => {
  const source = new Steady();
  const { ask } = setUp(t, source);
  const middle = minuteOf('2020-01-03T17:00Z');
  const whole = source.history.bind(source);
  source.history = async function* (request) {
    for (const [from, to] of [
      [middle, request.to],
      [request.from, middle],
    ] as const)
      yield* whole({ ...request, spans: new Map([['A', [{ from, to }]]]) });
    return { unknown: [], failed: [] };
  };
  const first = await ask(['A']);
  assert.deepEqual([first.rowsStored, first.stillMissing], [1170, []]);
  assert.equal((await ask(['A'])).daysHeld, 3);
});

test('what is older than the source keeps is told, and not taken for answered', async (t) => {
  const source = new Steady();
  const { ask } = setUp(t, source);
  const whole = source.history.bind(source);
  const keptFrom = minuteOf('2020-01-03T05:00Z');
  source.history = async function* (request) {
    yield* whole({ ...request, spans: new Map([['A', [{ from: keptFrom, to: request.to }]]]) });
    return { unknown: [], failed: [], keptFrom };
  };
  for (const held of [0, 2]) {
    const answer = await ask(['A']);
    assert.equal(answer.daysHeld, held);
    assert.deepEqual(answer.stillMissing, [{ reason: 'older than steady keeps', symbols: ['A'], days: 1 }]);
  }
});
