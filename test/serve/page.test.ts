/** The dashboard in a real browser, over a real server. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { epochMs, Random } from '../../src/base/index.ts';
import { type RunningServer, startServer } from '../../src/serve/index.ts';
import { LiveState } from '../../src/stream/index.ts';
import { bar, filledState, forecastOf, MODEL, minute } from './fixtures.ts';

const CHROMIUM = process.env.BARCAST_CHROMIUM ?? '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const skip = existsSync(CHROMIUM) ? false : `no browser at ${CHROMIUM}: apt-get install chromium`;

/** What the test needs of a canvas: the project is checked without the types of a browser. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: '2d'): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}

/** In the browser: whether the chart has pixels in the accent colour, in which the present forecast is drawn. */
function forecastIsInView(): boolean {
  const { document } = globalThis as unknown as { document: { querySelectorAll(css: string): Iterable<Canvas> } };
  return [...document.querySelectorAll('#chart canvas')].some((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] === 0x24 && data[i + 1] === 0x56 && data[i + 2] === 0xd6 && data[i + 3] > 200) return true;
    }
    return false;
  });
}

declare const requestAnimationFrame: (work: (value: unknown) => void) => void;

describe('the page', { skip }, () => {
  let browser: Browser;
  before(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  });
  after(() => browser?.close());

  /** A page over a server; what it logs as an error, and every request that leaves this machine, fails the test. */
  async function open(
    state: LiveState,
    options: { token?: string; path?: string } = {},
    work: (page: Page, server: RunningServer) => Promise<void>,
  ) {
    const server = await startServer({ state, port: 0, token: options.token, heartbeatMs: 50 });
    const page = await browser.newPage({ viewport: { width: 1366, height: 768 } });
    const wrong: string[] = [];
    page.on('pageerror', (error) => wrong.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) wrong.push(request.url());
    });
    try {
      await page.goto(server.url + (options.path ?? '/'));
      await work(page, server);
      assert.deepEqual(wrong, []);
    } finally {
      await page.close();
      await server.close();
    }
  }
  const row = (page: Page, symbol: string) => page.locator(`#rows tr[data-symbol="${symbol}"]`);
  const cells = (page: Page, symbol: string) => row(page, symbol).locator('th, td').allInnerTexts();
  const shown = (page: Page) => page.locator('#rows tr:visible th').allInnerTexts();
  const becomes = (page: Page, selector: string, text: RegExp) =>
    page.locator(selector).filter({ hasText: text }).first().waitFor({ state: 'attached' });

  test('shows forecasts, their scores, the model and the market time', async () => {
    await open(filledState(), {}, async (page) => {
      await row(page, 'A').waitFor();
      await becomes(page, '#rows tr[data-symbol="A"] td[data-key="scored"]', /hit/);
      const level = Math.log(106) + 0.001;
      const near = (text: string, value: number) => assert.equal(text, value.toFixed(2));
      const [symbol, last, predicted, basis, interval, age, scored] = await cells(page, 'A');
      assert.deepEqual([symbol, last, basis, age, scored], ['A', '106.00', '+10.0', '0 s', '✓ hit']);
      near(predicted, Math.exp(level));
      const [low, high] = interval.split(' – ');
      near(low, Math.exp(level - 0.01));
      near(high, Math.exp(level + 0.01));
      assert.equal(await page.locator('#market-time').innerText(), 'Thu 2 Jan 2020, 09:37:00 ET');
      assert.equal(await page.locator('#model').innerText(), MODEL.name);
      assert.equal(await page.locator('#hash').innerText(), MODEL.weightsHash);
      await becomes(page, '#connection', /^Live$/);
      await becomes(page, '#verdict', /Too early to tell/);
      assert.equal(await page.locator('#scores tr').last().locator('td').first().innerText(), '4');
      assert.equal(await page.locator('#count').innerText(), '2 symbols');
    });
  });

  test('follows the stream in place: the row stays the same element', async () => {
    const state = filledState();
    await open(state, {}, async (page) => {
      await row(page, 'A').waitFor();
      await becomes(page, '#connection', /^Live$/);
      const before = await row(page, 'A').elementHandle();
      state.acceptBars([bar('A', minute(7), 107.25), bar('NEW', minute(7), 0.5)]);
      await becomes(page, '#rows tr[data-symbol="A"] td[data-key="last"]', /107\.25/);
      await becomes(page, '#rows tr[data-symbol="NEW"] td[data-key="width"]', /warming up/);
      assert.deepEqual((await cells(page, 'NEW')).slice(0, 5), ['NEW', '0.5000', '–', '–', 'warming up']);
      state.acceptForecasts([forecastOf('A', minute(8), 107.25, -0.00042)]);
      await becomes(page, '#rows tr[data-symbol="A"] td[data-key="return"]', /^−4\.2$/);
      await becomes(page, '#forecast-line', /^107\.25 at 09:38 → 107\.20 at 09:43\s+−4\.2 bp, 80% within/);
      assert.ok(await before!.evaluate((element) => element.isConnected && element.ariaCurrent === 'true'));
    });
  });

  test('sorts, filters and selects by mouse and keyboard', async () => {
    const state = filledState();
    state.acceptForecasts([forecastOf('NEW', minute(7), 50, -0.01), forecastOf('A', minute(8), 106, 0.02)]);
    await open(state, {}, async (page) => {
      await row(page, 'NEW').waitFor();
      assert.deepEqual(await shown(page), ['A', 'BRK-B', 'NEW']);
      const head = page.locator('th[data-key="return"]');
      await head.getByRole('button').click();
      assert.deepEqual(await shown(page), ['A', 'BRK-B', 'NEW']);
      assert.equal(await head.getAttribute('aria-sort'), 'descending');
      await head.getByRole('button').click();
      assert.deepEqual(await shown(page), ['NEW', 'BRK-B', 'A']);
      assert.equal(await head.getAttribute('aria-sort'), 'ascending');

      await page.keyboard.press('/');
      await page.keyboard.type('brk');
      assert.deepEqual(await shown(page), ['BRK-B']);
      assert.equal(await page.locator('#count').innerText(), '1 of 3 symbols');
      await page.keyboard.press('Enter');
      await becomes(page, '#chart-title', /^BRK-B$/);
      assert.match(page.url(), /#BRK-B$/);
      await page.locator('#filter').fill('zzz');
      assert.equal(await page.locator('#empty-title').innerText(), 'No symbol matches');
      await page.keyboard.press('Escape');
      await row(page, 'NEW').click();
      await becomes(page, '#chart-title', /^NEW$/);
      await row(page, 'NEW').getByRole('button').focus();
      await page.keyboard.press('ArrowDown');
      await becomes(page, '#chart-title', /^BRK-B$/);
    });
  });

  test('opens on the symbol of the address and draws its chart with the attribution', async () => {
    await open(filledState(), { path: '/#BRK-B' }, async (page) => {
      await becomes(page, '#chart-title', /^BRK-B$/);
      await page.locator('#chart canvas').first().waitFor();
      await page.waitForFunction(forecastIsInView);
      assert.ok(await page.locator('#chart a[href*="tradingview.com"]').isVisible());
      assert.ok(await page.locator('footer a[href="https://www.tradingview.com/"]').isVisible());
    });
  });

  test('follows the newest bar of a thin symbol for hours', async () => {
    const state = filledState();
    /** One minute in three trades; its forecast is for a minute that mostly does not, and has a place on the axis. */
    const trade = (m: number) => {
      state.acceptBars([bar('BRK-B', minute(m), 100 + Math.sin(m))]);
      state.acceptForecasts([forecastOf('BRK-B', minute(m + 1), 100 + Math.sin(m), 0.001)]);
    };
    for (let m = 9; m < 150; m += 3) trade(m);
    await open(state, { path: '/#BRK-B' }, async (page) => {
      const frames = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const inView = async () => {
        for (let i = 0; i < 3; i++) await page.evaluate(frames);
        await page.waitForFunction(forecastIsInView, undefined, { timeout: 10_000 });
      };
      await becomes(page, '#forecast-line', /at 11:58 .* at 12:03/);
      await inView();
      // Minutes that come one by one, then a burst of them.
      for (let m = 150; m < 210; m += 3) {
        trade(m);
        await page.evaluate(frames);
      }
      await inView();
      for (let m = 210; m < 330; m += 3) trade(m);
      await becomes(page, '#forecast-line', /at 14:58 .* at 15:03/);
      await inView();
    });
  });

  test('shows the shadow and its scores, and goes over to a model that takes its place', async () => {
    const state = filledState();
    const shy = { ...MODEL, name: 'shy', weightsHash: 'def456' };
    const silent = (m: number, close: number) => ({
      ...forecastOf('A', minute(m), close, 0.003),
      model: 'shy',
      weightsHash: 'def456',
    });
    state.setModel(state.model!, shy);
    state.acceptShadow([1, 2].map((m) => silent(m, 99 + m)));
    await open(state, {}, async (page) => {
      await row(page, 'A').waitFor();
      await becomes(page, '#shadow', /^shy$/);
      await page.locator('#scores td.shadow-score').filter({ hasText: /^2$/ }).waitFor();
      await becomes(page, '#lag', /^not at all$/);
      state.setModel(shy);
      await becomes(page, '#model', /^shy$/);
      await page.locator('#shadow-fact').waitFor({ state: 'hidden' });
      await page.locator('#scores td.shadow-score').first().waitFor({ state: 'hidden' });
      await page.locator('#scores tr:last-child td:nth-child(3)').filter({ hasText: /^2$/ }).waitFor();
      assert.ok((await cells(page, 'A'))[1] === '106.00', 'what was forecast before stays in sight');
      state.acceptBars([bar('A', minute(7), 107)]);
      state.acceptForecasts([silent(8, 107)]);
      await becomes(page, '#rows tr[data-symbol="A"] td[data-key="return"]', /^\+30\.0$/);
    });
  });

  test('tells of drift, and of forecasts that fall behind', async () => {
    const state = new LiveState({ longestQuietRun: 3 });
    state.clock = { now: () => epochMs(minute(391) * 60_000) };
    state.setModel(MODEL);
    state.setSource({ name: 'replay', state: 'running', detail: null });
    const random = new Random(9);
    const symbols = Array.from({ length: 30 }, (_, i) => `S${i}`);
    const closes = symbols.map(() => Array.from({ length: 330 }, () => 0.001 * random.normal()));
    for (const path of closes) for (let m = 1; m < path.length; m++) path[m] += path[m - 1];
    const price = (s: number, m: number) => 100 * Math.exp(closes[s][m]);
    // From 13:00 on it forecasts the opposite of what comes.
    for (let m = 0; m < 320; m++) {
      state.acceptBars(symbols.map((symbol, s) => bar(symbol, minute(m), price(s, m))));
      const worth = m < 210 ? 0.3 : -0.4;
      const forecasts = symbols.map((symbol, s) =>
        forecastOf(symbol, minute(m + 1), price(s, m), worth * (closes[s][m + 5] - closes[s][m]), 0.003),
      );
      state.acceptForecasts(forecasts);
    }
    assert.ok(state.alarms().some(({ role, monitor }) => role === 'active' && monitor === 'skill'));
    await open(state, {}, async (page) => {
      await becomes(page, '#alarms li', /^Drift since 2 Jan 1\d:\d\d: scaled skill −\d+\.\d\d%, was \+\d+\.\d\d%/);
      await becomes(page, '#verdict', /^Drifting$/);
      state.acceptBars([bar('S0', minute(325), 100)]);
      await becomes(page, '#lag', /^6 min$/);
      await becomes(page, '#lag.late', /min/);
      await becomes(page, '#connection', /^Live$/);
      state.setBus({ name: 'nats', state: 'reconnecting', detail: 'no route' });
      await becomes(page, '#connection', /^Bus lost$/);
      await becomes(page, '#notice', /the bus \(nats\) is reconnecting: no route/);
    });
  });

  test('says what is happening when there is nothing, and when the server goes', async () => {
    const state = new LiveState();
    await open(state, {}, async (page, server) => {
      await becomes(page, '#empty-text', /^No model is loaded; no source/);
      await becomes(page, '#connection', /^Not ready$/);
      state.setModel(MODEL);
      state.setSource({ name: 'yahoo', state: 'running', detail: null });
      await becomes(page, '#empty-title', /Waiting for the first bars/);
      state.acceptBars([bar('A', minute(0), 1)]);
      await row(page, 'A').waitFor();
      state.setSource({ name: 'yahoo', state: 'retrying', detail: 'no route' });
      await becomes(page, '#notice', /No new forecasts: the source of bars \(yahoo\) is retrying: no route/);
      await server.close();
      await becomes(page, '#connection', /Connection lost, trying again in 1 s/);
      await becomes(page, '#notice', /last that was known/);
      const again = await startServer({ state: filledState(), port: Number(new URL(server.url).port) });
      try {
        await becomes(page, '#connection', /^Live$/);
        await row(page, 'BRK-B').waitFor();
      } finally {
        await again.close();
      }
    });
  });

  test('a symbol is text, never markup', async () => {
    const state = filledState();
    const evil = '<img src=x onerror=alert(1)>';
    state.acceptBars([bar(evil, minute(7), 5)]);
    state.acceptForecasts([forecastOf(evil, minute(8), 5, 0)]);
    await open(state, {}, async (page) => {
      await becomes(page, '#rows tr th', /<img src=x onerror/);
      assert.equal(await page.locator('#rows img').count(), 0);
    });
  });

  test('takes the token from the address and removes it there; without one it says what is needed', async () => {
    const token = 'correct-horse-7';
    await open(filledState(), { token }, async (page) => {
      await becomes(page, '#connection', /Access token needed/);
      await becomes(page, '#empty-title', /No access/);
    });
    await open(filledState(), { token, path: `/?token=${token}` }, async (page) => {
      await becomes(page, '#connection', /^Live$/);
      await row(page, 'A').waitFor();
      assert.ok(!page.url().includes('token'));
    });
  });

  test('the header stays in sight over 500 rows, and the list scrolls in its panel', async () => {
    const state = filledState();
    const symbols = Array.from({ length: 500 }, (_, i) => `S${i}`);
    state.acceptForecasts(symbols.map((symbol, i) => forecastOf(symbol, minute(7), 10 + i, 0.001)));
    await open(state, {}, async (page) => {
      await row(page, 'S499').waitFor({ state: 'attached' });
      await row(page, 'S499').scrollIntoViewIfNeeded();
      assert.ok(await row(page, 'S499').isVisible());
      for (const selector of ['.brand', '#connection', '#table thead th button', '#scores', 'footer']) {
        const box = await page.locator(selector).first().boundingBox();
        assert.ok(box && box.y >= 0 && box.y + box.height <= 768, `${selector} ${JSON.stringify(box)}`);
      }
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      assert.ok(Number(overflow) <= 0, `${overflow} pixels too wide`);
    });
  });

  test('/docs shows the interface', async () => {
    await open(filledState(), { path: '/docs' }, async (page) => {
      await page.locator('h3#Forecast').waitFor();
      assert.match(await page.locator('#routes').innerText(), /GET\s*\/api\/v1\/predictions\/\{symbol\}/);
    });
  });
});
