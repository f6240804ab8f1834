/** The chart of one symbol: its last bars, the forecast with its interval, and what was forecast for past minutes. */
import { CandlestickSeries, createChart, LineSeries, LineStyle } from '/vendor/lightweight-charts.mjs';
import { clockTime, decimalsOf, shortDay } from './format.js';

const MINUTE = 60;
/** Bars in view at first; the rest can be scrolled to. */
const BARS_IN_VIEW = 75;

const toTime = (iso) => Date.parse(iso) / 1000;
/** The bar that ends a forecast's horizon, by its open, as the chart places bars. */
const targetTime = (forecast) => toTime(forecast.asOf) + (forecast.horizonMinutes - 1) * MINUTE;

/** The interval as a fan from the last close to the horizon, drawn under the prices. */
class IntervalFan {
  forecast;
  color = '#000';
  #attached;

  attached(attached) {
    this.#attached = attached;
  }

  set(forecast, color) {
    this.forecast = forecast;
    this.color = color;
    this.#attached?.requestUpdate();
  }

  paneViews() {
    return [{ zOrder: () => 'bottom', renderer: () => ({ draw: (target) => this.#draw(target) }) }];
  }

  autoscaleInfo() {
    if (!this.forecast) return null;
    const { low, high } = this.forecast.interval;
    return { priceRange: { minValue: low, maxValue: high } };
  }

  #draw(target) {
    if (!this.forecast) return;
    const { chart, series } = this.#attached;
    const { lastClose, interval } = this.forecast;
    const x = (time) => chart.timeScale().timeToCoordinate(time);
    const from = [x(toTime(this.forecast.asOf) - MINUTE), series.priceToCoordinate(lastClose)];
    const end = x(targetTime(this.forecast));
    const [low, high] = [series.priceToCoordinate(interval.low), series.priceToCoordinate(interval.high)];
    if ([...from, end, low, high].some((it) => it === null)) return;
    target.useMediaCoordinateSpace(({ context }) => {
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(end, high);
      context.lineTo(end, low);
      context.closePath();
      context.fillStyle = this.color;
      context.globalAlpha = 0.18;
      context.fill();
      context.globalAlpha = 0.75;
      context.fillRect(end - 1, high, 2, low - high);
      context.fillRect(end - 4, high - 1, 8, 2);
      context.fillRect(end - 4, low - 1, 8, 2);
      context.globalAlpha = 1;
    });
  }
}

export class SymbolChart {
  #chart;
  #candles;
  #path;
  #past;
  #fan = new IntervalFan();
  /** Time of the newest bar, seconds. */
  #newestBar = 0;
  /** Whether the view moves along with the newest bar, how many places of the axis it shows, and how many behind that bar. */
  #following = true;
  #places = BARS_IN_VIEW;
  #ahead = 1;
  #moving = false;
  /** Target time -> predicted close */
  #forecasts = new Map();
  #latest;

  constructor(element) {
    this.#chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: true, background: { color: 'transparent' }, fontSize: 11 },
      localization: { timeFormatter: (time) => `${shortDay(time * 1000)} ${clockTime(time * 1000)}` },
      timeScale: {
        timeVisible: true,
        rightOffset: 1,
        // The chart follows the newest bar by its own rule, see addBar.
        shiftVisibleRangeOnNewBar: false,
        // Kinds of tick marks above 2 are times of day; the others begin a day, a month, a year.
        tickMarkFormatter: (time, kind) => (kind > 2 ? clockTime(time * 1000) : shortDay(time * 1000)),
      },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.08 } },
    });
    const bare = { lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false };
    this.#past = this.#chart.addSeries(LineSeries, { ...bare, lineWidth: 1, lineStyle: LineStyle.Dashed });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { priceLineVisible: false });
    this.#path = this.#chart.addSeries(LineSeries, { ...bare, lineWidth: 2, lastValueVisible: true });
    this.#candles.attachPrimitive(this.#fan);
    for (const kind of ['wheel', 'pointerup', 'touchend']) element.addEventListener(kind, () => this.#noteView());
    this.#paint();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  /** Shows a symbol. `recent` are its forecasts, newest first. */
  show(bars, recent) {
    const decimals = decimalsOf(bars.at(-1)?.close ?? recent[0]?.lastClose ?? 100);
    const priceFormat = { type: 'price', precision: decimals, minMove: 10 ** -decimals };
    for (const series of [this.#past, this.#candles, this.#path]) series.applyOptions({ priceFormat });
    this.#candles.setData(bars.map(candleOf));
    this.#newestBar = bars.length > 0 ? toTime(bars.at(-1).time) : 0;
    this.#forecasts = new Map(recent.map((forecast) => [targetTime(forecast), forecast.predictedClose]));
    this.#latest = recent[0];
    this.#drawForecast();
    this.#following = true;
    this.#ahead = 1 + (this.#latest?.horizonMinutes ?? 0);
    this.#places = Math.min(BARS_IN_VIEW, (this.#indexOfNewest() ?? 0) + 0.5) + this.#ahead;
    this.#move();
    this.#chart.priceScale('right').applyOptions({ autoScale: true });
  }

  clear() {
    this.show([], []);
  }

  addBar(bar) {
    const time = toTime(bar.time);
    if (time <= this.#newestBar) return;
    this.#newestBar = time;
    // The path reaches into the future; it is drawn anew behind the bar that has come.
    this.#candles.update(candleOf(bar));
    this.#drawForecast();
    if (this.#following) this.#move();
  }

  /** Shows the newest bar where it was, once a frame: within one the chart still answers with the view before it. */
  #move() {
    if (this.#moving) return;
    this.#moving = true;
    requestAnimationFrame(() => {
      this.#moving = false;
      const to = (this.#indexOfNewest() ?? 0) + this.#ahead;
      this.#chart.timeScale().setVisibleLogicalRange({ from: to - this.#places, to });
    });
  }

  /** After a hand on the chart: whoever still sees the newest bar is kept with it; whoever has scrolled back is left in peace. */
  #noteView() {
    requestAnimationFrame(() => {
      const view = this.#chart.timeScale().getVisibleLogicalRange();
      const newest = this.#indexOfNewest();
      if (view === null || newest === null) return;
      this.#following = view.to >= newest;
      this.#places = view.to - view.from;
      this.#ahead = view.to - newest;
    });
  }

  /** Place of the newest bar on the axis, which also holds minutes that only a forecast has; null without a bar. */
  #indexOfNewest() {
    return this.#newestBar > 0 ? this.#chart.timeScale().timeToIndex(this.#newestBar, true) : null;
  }

  addForecast(forecast) {
    if (this.#latest && Date.parse(forecast.asOf) <= Date.parse(this.#latest.asOf)) return;
    this.#latest = forecast;
    this.#forecasts.set(targetTime(forecast), forecast.predictedClose);
    this.#drawForecast();
  }

  #drawForecast() {
    const forecast = this.#latest;
    const past = [...this.#forecasts].filter(([time]) => time <= this.#newestBar).sort(([a], [b]) => a - b);
    this.#past.setData(past.map(([time, value]) => ({ time, value })));
    if (!forecast) {
      this.#path.setData([]);
      this.#fan.set(undefined, '');
      return;
    }
    const start = toTime(forecast.asOf) - MINUTE;
    const steps = forecast.horizonMinutes;
    // One point a minute, so that the axis has the minutes to come.
    const points = Array.from({ length: steps + 1 }, (_, i) => ({
      time: start + i * MINUTE,
      value: forecast.lastClose + ((forecast.predictedClose - forecast.lastClose) * i) / steps,
    }));
    this.#path.setData(points);
    this.#fan.set(forecast, this.#color('accent'));
  }

  #color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  #paint() {
    const [up, down, accent, line] = ['up', 'down', 'accent', 'line'].map((name) => this.#color(name));
    this.#chart.applyOptions({
      layout: { textColor: this.#color('muted'), fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { vertLines: { visible: false }, horzLines: { color: line } },
      timeScale: { borderColor: line },
    });
    const colors = { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false };
    this.#candles.applyOptions(colors);
    this.#path.applyOptions({ color: accent });
    this.#past.applyOptions({ color: this.#color('past') });
    this.#fan.set(this.#fan.forecast, accent);
  }
}

const candleOf = ({ time, open, high, low, close }) => ({ time: toTime(time), open, high, low, close });
