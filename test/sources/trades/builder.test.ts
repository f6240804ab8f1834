import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ruleOf, SALE_CONDITIONS, SymbolTable, TradeBuilder } from '../../../src/sources/index.ts';
import { batchOf, linesOf, oracleBars, randomTrades, START, type Trade } from './support.ts';

const trade = (timeMs: number, price: number, more: Partial<Trade> = {}): Trade => ({
  symbol: 'A',
  timeMs: START + timeMs,
  price,
  size: 100,
  conditions: '@',
  id: timeMs,
  ...more,
});

function build(trades: readonly Trade[], options: ConstructorParameters<typeof TradeBuilder>[0] = {}) {
  const symbols = new SymbolTable();
  const builder = new TradeBuilder(options);
  builder.push(batchOf(trades, symbols));
  builder.finish();
  return { lines: linesOf(builder.drain(), symbols), counts: builder.counts };
}

for (const corrections of [false, true]) {
  test(`bars of random trades are those of a slow oracle${corrections ? ', cancels and corrections among them' : ''}`, () => {
    for (let seed = 1; seed <= 12; seed++) {
      const trades = randomTrades(seed, 4000, [1, 900, 4000, 70_000][seed % 4], corrections);
      const latenessMs = 75_000;
      const { lines, counts } = build(trades, { latenessMs, corrections: true });
      assert.deepEqual(lines, oracleBars(trades), `seed ${seed}`);
      assert.deepEqual(
        [counts.trades, counts.late, counts.unmatched, counts.bars],
        [trades.length, 0, 0, lines.length],
      );
    }
  });
}

test('how trades are cut into batches changes no bar', () => {
  const trades = randomTrades(7, 3000, 4000, true);
  const symbols = new SymbolTable();
  const builder = new TradeBuilder({ latenessMs: 4001, corrections: true });
  const lines: string[] = [];
  for (let i = 0; i < trades.length; i += 37) {
    builder.push(batchOf(trades.slice(i, i + 37), symbols));
    lines.push(...linesOf(builder.drain(), symbols));
  }
  builder.finish();
  lines.push(...linesOf(builder.drain(), symbols));
  assert.deepEqual(lines.sort(), build(trades, { latenessMs: 4001, corrections: true }).lines);
});

test('a minute closes when a trade comes that is younger by the lateness than its end; later ones are counted', () => {
  const symbols = new SymbolTable();
  const builder = new TradeBuilder({ latenessMs: 5000 });
  const push = (...trades: Trade[]) => {
    builder.push(batchOf(trades, symbols));
    return linesOf(builder.drain(), symbols).length;
  };
  assert.equal(push(trade(1000, 10), trade(64_999, 11)), 0);
  assert.equal(push(trade(59_999, 12)), 0, 'the first minute is open still');
  assert.equal(push(trade(65_000, 13)), 1);
  assert.equal(push(trade(59_998, 99)), 0);
  assert.equal(builder.counts.late, 1);
  // A symbol is not hurried by another one; the caller's clock hurries all.
  assert.equal(push({ ...trade(2000, 5), symbol: 'B' }), 0);
  assert.equal(builder.counts.late, 1);
  builder.advance(START + 64_999);
  assert.equal(builder.drain().count, 0);
  builder.advance(START + 65_000);
  assert.deepEqual(linesOf(builder.drain(), symbols), [`B ${START / 60_000} 5 5 5 5 100 1 5.000000`]);
  assert.equal(push({ ...trade(3000, 5), symbol: 'B' }), 0);
  assert.equal(builder.counts.late, 2);
});

test('a quiet hour between two trades, and days between them', () => {
  const { lines, counts } = build([trade(0, 1), trade(3_600_000, 2), trade(90_000_000, 3), trade(0, 9)]);
  assert.equal(lines.length, 3);
  assert.equal(counts.late, 1);
});

test('trades without a price, and trades of the future, are refused and counted', () => {
  const { lines, counts } = build(
    [
      trade(0, 10),
      trade(1, Number.NaN),
      trade(2, -1),
      trade(3, 0),
      trade(4, 10, { size: -5 }),
      trade(5, 10, { size: Number.NaN }),
      trade(1e9, 10),
    ],
    { notAfterMs: () => START + 60_000 },
  );
  assert.deepEqual(lines, [`A ${START / 60_000} 10 10 10 10 100 1 10.000000`]);
  assert.deepEqual([counts.invalid, counts.ahead], [5, 1]);
});

test('a minute of odd lots has no bar; their number is told', () => {
  const { lines, counts } = build([
    trade(0, 10, { conditions: 'I' }),
    trade(1, 11, { conditions: '@I' }),
    trade(60_000, 12),
  ]);
  assert.deepEqual([lines.length, counts.unpriced], [1, 2]);
});

test('a correction of a trade whose minute is closed, or that never was, changes nothing', () => {
  const { lines, counts } = build(
    [trade(0, 10), trade(120_000, 12), trade(0, 99, { action: 'correct' }), trade(77, 1, { id: 5, action: 'cancel' })],
    { corrections: true },
  );
  assert.equal(lines[0], `A ${START / 60_000} 10 10 10 10 100 1 10.000000`);
  assert.equal(counts.unmatched, 2);
});

test('a minute whose only trade is cancelled has no bar', () => {
  const { lines } = build([trade(0, 10), trade(0, 10, { action: 'cancel' })], { corrections: true });
  assert.deepEqual(lines, []);
});

test('every code of the table, and combinations of them', () => {
  const [HIGH_LOW, LAST, ONLY, VOLUME] = [1, 2, 4, 8];
  assert.equal(ruleOf(''), HIGH_LOW | LAST | VOLUME);
  for (const [code, [, rule]] of Object.entries(SALE_CONDITIONS)) assert.equal(ruleOf(code), rule, code);
  assert.equal(ruleOf('@ZI'), VOLUME);
  assert.equal(ruleOf('FZ'), HIGH_LOW | ONLY | VOLUME);
  assert.equal(ruleOf('9Z'), HIGH_LOW | ONLY);
  assert.equal(ruleOf('B'), VOLUME);
  assert.equal(ruleOf('B', true), HIGH_LOW | LAST | VOLUME, 'on tape C it is a bunched trade');
  assert.equal(ruleOf('W', true), VOLUME);
  assert.equal(ruleOf('?') & ~VOLUME, 64);
});
