/** Counts of windows on real bars, against a count by text and arithmetic alone. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Bar } from '../../src/bars/index.ts';
import type { EpochMinute } from '../../src/base/index.ts';
import { buildWindows, recipeOf } from '../../src/features/index.ts';
import { columnsOf } from './fixtures.ts';

const folder = fileURLToPath(new URL('../../../shared/data/yahoo-1m/', import.meta.url));

test('windows of 65 consecutive minutes in real bars', (t) => {
  if (!existsSync(folder)) return t.skip('the real bars are not here: ../shared/data/yahoo-1m');
  const files = readdirSync(folder).filter((name) => name.endsWith('.csv.gz'));
  const bars: Bar[] = [];
  let counted = 0;
  for (const file of ['SPY.csv.gz', ...files.filter((_, i) => i % 48 === 0)]) {
    const symbol = file.replace('.csv.gz', '');
    const [header, ...lines] = gunzipSync(readFileSync(folder + file))
      .toString()
      .trim()
      .split('\n');
    const names = header.split(',');
    const rows = new Map<string, Bar>();
    for (const line of lines) {
      const cells = line.split(',');
      const value = (name: string) =>
        cells[names.indexOf(name)] === '' ? Number.NaN : Number(cells[names.indexOf(name)]);
      const minute = (Date.parse(cells[0].replace(' ', 'T')) / 60_000) as EpochMinute;
      rows.set(cells[0], {
        symbol,
        minute,
        open: value('Open'),
        high: value('High'),
        low: value('Low'),
        close: value('Close'),
        volume: value('Volume'),
      });
    }
    bars.push(...rows.values());

    // By the text of the local time: minutes of a day that end a row of at least 60, with a fifth one after it.
    const priced = new Set<string>();
    for (const [time, { open, high, low, close }] of rows) {
      if ([open, high, low, close].every((price) => price > 0) && low <= high) priced.add(time.slice(0, 16));
    }
    for (const day of new Set([...priced].map((time) => time.slice(0, 10)))) {
      let consecutive = 0;
      for (let m = 9 * 60 + 30; m < (day === '2019-12-24' ? 13 : 16) * 60; m++) {
        const clock = `${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`;
        consecutive = priced.has(`${day} ${clock}`) ? consecutive + 1 : 0;
        if (consecutive >= 65) counted++;
      }
    }
  }
  assert.ok(counted > 1000, `${counted} windows`);
  const strict = { ...recipeOf('returns'), quiet: { longestRun: 0, most: 0 } };
  for (const recipe of [strict, recipeOf('cs205')]) {
    assert.equal(buildWindows(columnsOf(bars), recipe, { requireTarget: true }).starts.length, counted);
  }
  const withQuiet = buildWindows(columnsOf(bars), recipeOf('returns'), { requireTarget: true });
  assert.ok(withQuiet.starts.length > counted);
});
