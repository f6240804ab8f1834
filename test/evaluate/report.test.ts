/** The report: its figures against slow countings, its plots as well-formed SVG, its page in a real browser, offline. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { Random } from '../../src/base/index.ts';
import { composeReport, evaluateForecasts, renderHtml, renderMarkdown } from '../../src/evaluate/index.ts';
import { calibrationCurve, reliability, worstMisses } from '../../src/evaluate/report/findings.ts';
import { categoryChart, lineChart, roundTicks, standalone } from '../../src/evaluate/report/plot.ts';
import type { ModelDescription } from '../../src/model/index.ts';
import { close, makeMarket } from './fixtures.ts';

const CHROMIUM = process.env.BARCAST_CHROMIUM ?? '/usr/bin/chromium';

const market = makeMarket({ symbols: 12, days: 6, seed: 4 });
const size = market.asOf.length;
const dice = new Random(12, 2);
const realised = market.targetClose.map((price, i) => Math.log(price / market.lastClose[i]));
const predictedReturn = realised.map((move, i) => 0.2 * move + 0.1 * market.volatility[i] * dice.normal());
const end = (z: number) =>
  market.lastClose.map((price, i) => price * Math.exp(predictedReturn[i] + z * market.volatility[i]));
const forecasts = {
  windows: market,
  predictedReturn,
  low: end(-1.2815515655446004),
  high: end(1.2815515655446004),
  ridgeReturn: null,
  liquidity: Float64Array.from({ length: 12 }, (_, i) => i + 1),
  fittedWindowsLeftOut: 0,
} as never as Parameters<typeof composeReport>[0]['forecasts'];

const description: ModelDescription = {
  format: 1,
  name: 'a <model>',
  version: 'abc',
  shape: { windowLength: 60, features: 6, lstm: [32], dropout: 0.1, dense: [{ units: 1, activation: 'linear' }] },
  weightsHash: 'f00d',
  // Its numbers are listed whatever they are.
  calibration: { level: 0.8, gains: [0.5, 0.25], strain: { usual: 2 } } as unknown as ModelDescription['calibration'],
};
const history = [
  { epoch: 1, trainLoss: 0.3, validationLoss: 0.31 },
  { epoch: 2, trainLoss: 0.28, validationLoss: 0.305 },
];

function document(extra: object = {}) {
  const evaluation = evaluateForecasts(forecasts, { seed: 1 });
  return composeReport({
    description: { ...description, ...extra },
    evaluation: {
      ...evaluation,
      modelName: 'a',
      version: 'abc',
      weightsHash: 'f00d',
      horizonMinutes: 5,
      fittedWindowsLeftOut: 0,
      unseenSymbols: 0,
    },
    forecasts,
    madeAt: '2026-11-24T12:00:00.000Z',
  });
}

test('at the nominal level the curve is the coverage, and intervals of a normal walk lie on the diagonal', () => {
  const curve = calibrationCurve(forecasts);
  const inside = [...market.targetClose.keys()].filter(
    (i) => forecasts.low[i] <= market.targetClose[i] && market.targetClose[i] <= forecasts.high[i],
  ).length;
  assert.ok(Math.abs(curve.find(({ nominal }) => nominal === 0.8)!.actual - inside / size) < 2 / size);
  // What is left of the move has 0.8 times its size: an interval of the whole volatility is too wide by that.
  const walk = calibrationCurve({ ...forecasts, predictedReturn: new Float64Array(size), ...still() });
  for (const { nominal, actual } of walk) assert.ok(Math.abs(actual - nominal) < 0.06, `${nominal}: ${actual}`);
});

function still() {
  const ends = (z: number) => market.lastClose.map((price, i) => price * Math.exp(z * market.volatility[i]));
  return { low: ends(-1.2815515655446004), high: ends(1.2815515655446004) };
}

test('reliability counts tenths of the windows by forecast, and by its size', () => {
  const v = (values: Float64Array) => values.map((value, i) => value / market.volatility[i]);
  const [p, y] = [v(predictedReturn), v(realised)];
  for (const by of ['amplitude', 'strength'] as const) {
    const key = by === 'amplitude' ? p : p.map(Math.abs);
    const order = [...key.keys()].sort((a, b) => key[a] - key[b]);
    const groups = reliability(forecasts, by);
    assert.equal(groups.length, 10);
    for (const [g, group] of groups.entries()) {
      const members = order.slice(Math.round((g * size) / 10), Math.round(((g + 1) * size) / 10));
      assert.equal(group.windows, members.length);
      assert.ok(close(group.predicted, members.reduce((sum, i) => sum + p[i], 0) / members.length, 1e-9));
      assert.ok(close(group.realised, members.reduce((sum, i) => sum + y[i], 0) / members.length, 1e-9));
      const right = members.filter((i) => Math.sign(p[i]) === Math.sign(y[i])).length;
      assert.ok(close(group.signRight, right / members.length));
    }
    if (by === 'strength') assert.ok(groups[9].signRight! > groups[0].signRight! + 0.1);
  }
});

test('the worst misses are the furthest, one of a symbol and day', () => {
  const misses = worstMisses(forecasts, 5);
  const far = realised.map((move, i) => Math.abs(move - predictedReturn[i]) / market.volatility[i]);
  assert.ok(close(misses[0].volatilities, Math.max(...far)));
  assert.equal(new Set(misses.map(({ symbol, asOf }) => symbol + asOf.slice(0, 10))).size, 5);
  for (let k = 1; k < 5; k++) assert.ok(misses[k].volatilities <= misses[k - 1].volatilities);
});

test('ticks are round, inside, in order and not too many', () => {
  const draw = new Random(5, 5);
  for (let k = 0; k < 500; k++) {
    const low = (draw.uniform() - 0.5) * 10 ** (draw.below(9) - 4);
    const high = low + (0.001 + draw.uniform()) * 10 ** (draw.below(9) - 4);
    const ticks = roundTicks(low, high);
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 0;
    assert.ok(ticks.length <= 6, `${low} to ${high}: ${ticks}`);
    assert.ok(ticks.every((tick) => tick >= low - 1e-9 * step && tick <= high + 1e-9 * step));
    assert.ok(ticks.every((tick, i) => i === 0 || tick > ticks[i - 1]));
  }
  assert.deepEqual(roundTicks(0, 1), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  assert.deepEqual(roundTicks(3, 3), [3]);
});

test('plots put values where they belong and survive none, one and equal values', () => {
  const chart = (points: [number, number][]) =>
    lineChart({ title: 't', x: { label: 'x' }, y: { label: 'y' }, series: [{ name: 's', points }] });
  const [, line] = /points="([^"]*)"/.exec(
    chart([
      [0, 0],
      [1, 1],
      [2, 4],
    ]),
  )!;
  const places = line.split(' ').map((pair) => pair.split(',').map(Number));
  assert.ok(close((places[1][0] - places[0][0]) / (places[2][0] - places[0][0]), 0.5, 1e-3));
  assert.ok(close((places[1][1] - places[0][1]) / (places[2][1] - places[0][1]), 0.25, 1e-2));
  for (const points of [
    [],
    [[1, 1]],
    [
      [1, 5],
      [2, 5],
    ],
  ] as [number, number][][])
    assert.doesNotMatch(chart(points), /NaN|Infinity/);
  const none = categoryChart({ title: 't', y: { label: 'y' }, points: [], guide: 0 });
  assert.doesNotMatch(none, /NaN|Infinity/);
});

test('the page needs nothing else, and no text of a model becomes markup', () => {
  const html = renderHtml(document());
  assert.doesNotMatch(html, /<script|src=|href=|url\(|@import/);
  assert.doesNotMatch(html, /NaN|undefined|Infinity/);
  assert.doesNotMatch(html, /<model>/);
  assert.match(html, /a &lt;model&gt;/);
  assert.match(html, /Edge over persistence/);
  assert.match(html, /losses by epoch are not kept/);
  assert.match(html, /level 0\.800, gains 0\.500 0\.250, strain 2\.00/);
  const provenance = {
    barcast: '1',
    trainedAt: '2026-11-24T12:00:00.000Z',
    from: '2020-01-02T14:30:00.000Z',
    to: '2020-01-03T21:00:00.000Z',
    symbols: [],
    windows: 1,
    seed: 1,
    kernel: 'native',
    epochs: 2,
    steps: 3,
    trainLoss: 0.3,
    validation: { windows: 1, loss: 0.3, skillScaled: 0, epoch: 2 },
    history,
  };
  assert.match(renderHtml(document({ provenance })), /Loss by epoch; the weights of epoch 2 were kept/);
});

test('Markdown names every plot as a file beside it', () => {
  const { text, plots } = renderMarkdown(document(), 'a-plots');
  assert.ok(plots.length >= 8);
  for (const { file, svg } of plots) {
    assert.ok(text.includes(`](a-plots/${file})`), file);
    assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"[^>]*><style>/);
  }
  assert.equal(standalone('<svg a="b"><g/></svg>').indexOf('<style>'), '<svg a="b">'.length);
});

test('in a browser: light, dark and on a telephone, without a request, a complaint or a sideways scroll', {
  skip: existsSync(CHROMIUM) ? false : `no browser at ${CHROMIUM}: apt-get install chromium`,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-report-'));
  const path = join(folder, 'report.html');
  writeFileSync(path, renderHtml(document()));
  const { plots } = renderMarkdown(document(), '.');
  for (const { file, svg } of plots) writeFileSync(join(folder, file), svg);
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  });
  try {
    const context = await browser.newContext({ offline: true });
    const page = await context.newPage();
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    const url = pathToFileURL(path).href;
    const grounds = new Set<string>();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: colorScheme === 'light' ? 1200 : 390, height: 800 });
      await page.goto(url);
      const { ground, wider, svgs } = await page.evaluate(() => {
        const {
          document: it,
          innerWidth,
          getComputedStyle,
        } = globalThis as never as {
          document: { body: object; documentElement: { scrollWidth: number }; querySelectorAll(css: string): object[] };
          innerWidth: number;
          getComputedStyle(element: object): { backgroundColor: string };
        };
        return {
          ground: getComputedStyle(it.body).backgroundColor,
          wider: it.documentElement.scrollWidth > innerWidth,
          svgs: it.querySelectorAll('figure svg polyline, figure svg circle').length,
        };
      });
      grounds.add(ground);
      assert.equal(wider, false);
      assert.ok(svgs > 50);
    }
    assert.equal(grounds.size, 2);
    // Each plot's file is an image by itself: XML that a browser refuses shows an error instead of a root.
    for (const { file } of plots) {
      const svg = pathToFileURL(join(folder, file)).href;
      await page.goto(svg);
      const root = () =>
        (globalThis as never as { document: { documentElement: { tagName: string; textContent: string } } }).document
          .documentElement;
      assert.equal(await page.evaluate(`(${root})().tagName`), 'svg', file);
      assert.equal(await page.evaluate('document.querySelector("parsererror") === null'), true, file);
      requests.splice(requests.indexOf(svg), 1);
    }
    assert.deepEqual([...new Set(requests)], [url]);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
