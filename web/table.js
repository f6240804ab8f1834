/**
 * The list of forecasts. A row is made once and its cells' texts change in place: rows in sight with the next frame,
 * the others when the browser has nothing better to do. The order is renewed at most once a second. All texts go in
 * as text, never as markup.
 */
import { age, basisPoints, NOTHING, price } from './format.js';

const REORDER_MS = 1000;
/** Rows out of sight that are brought up to date in one idle moment. */
const ROWS_AT_REST = 40;
/** Safari has no idle callback. */
const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));
const KEYS = ['last', 'predicted', 'return', 'width', 'age', 'scored'];

/** What a column sorts by; rows without a value stand last either way. */
const SORT_VALUES = {
  symbol: (row) => row.symbol,
  last: (row) => row.last,
  predicted: (row) => row.forecast?.predictedClose,
  return: (row) => row.forecast?.predictedReturn,
  width: (row) => row.forecast && (row.forecast.interval.high - row.forecast.interval.low) / row.forecast.lastClose,
  age: (row) => row.forecast && -row.asOfMs,
  scored: (row) => row.scored && { hit: 0, flat: 1, miss: 2 }[row.scored.direction],
};

const DIRECTION = { hit: ['✓ hit', 'up'], miss: ['✗ miss', 'down'], flat: ['flat', 'quiet'] };

export class ForecastTable {
  #rows = new Map();
  #body = document.getElementById('rows');
  #filter = '';
  #sort = { key: 'symbol', descending: false };
  #selected;
  #now = Number.NaN;
  #dirty = new Set();
  #frame = 0;
  #rest = 0;
  #inSight = new Set();
  #sight = new IntersectionObserver((changes) => this.#onSight(changes), {
    root: document.getElementById('scroller'),
    rootMargin: '300px',
  });
  #reorderedAt = 0;
  #reorderTimer = 0;
  #onSelect;
  #onCount;

  /**
   * @param onSelect called with the symbol that was chosen
   * @param onCount called with (shown, all) when the number of rows changed
   */
  constructor(onSelect, onCount) {
    this.#onSelect = onSelect;
    this.#onCount = onCount;
    this.#body.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row) this.select(row.dataset.symbol);
    });
    this.#body.addEventListener('keydown', (event) => this.#onKey(event));
    for (const head of document.querySelectorAll('#table thead th')) {
      head.querySelector('button').addEventListener('click', () => this.#sortBy(head.dataset.key));
    }
    this.#markSort();
  }

  get symbols() {
    return [...this.#rows.keys()];
  }

  get selected() {
    return this.#selected;
  }

  forecast(symbol) {
    return this.#rows.get(symbol)?.forecast;
  }

  /** Takes a forecast unless a newer one is shown. */
  setForecast(forecast) {
    const row = this.#row(forecast.symbol);
    const asOfMs = Date.parse(forecast.asOf);
    if (row.forecast && row.asOfMs > asOfMs) return;
    row.forecast = forecast;
    row.asOfMs = asOfMs;
    if (!(row.lastMs > asOfMs)) {
      row.last = forecast.lastClose;
      row.lastMs = asOfMs;
    }
    this.#touch(row);
  }

  /** Takes the close of a bar unless a newer one is shown. */
  setBar(bar) {
    const row = this.#row(bar.symbol);
    const endMs = Date.parse(bar.time) + 60_000;
    if (row.lastMs > endMs) return;
    row.last = bar.close;
    row.lastMs = endMs;
    this.#touch(row);
  }

  setScored(scored) {
    const row = this.#row(scored.symbol);
    if (row.scored && Date.parse(row.scored.asOf) > Date.parse(scored.asOf)) return;
    row.scored = scored;
    this.#touch(row);
  }

  /** The market's time, for the age of every forecast. */
  setNow(ms) {
    this.#now = ms;
    for (const row of this.#inSight) this.#drawAge(row);
  }

  setFilter(text) {
    this.#filter = text.trim().toUpperCase();
    for (const row of this.#rows.values()) this.#show(row);
    this.#tellCount();
  }

  /** Forgets all forecasts and scores: the model has changed. */
  clearForecasts() {
    for (const row of this.#rows.values()) {
      row.forecast = undefined;
      row.scored = undefined;
      this.#touch(row);
    }
  }

  select(symbol) {
    if (!this.#rows.has(symbol) || symbol === this.#selected) return;
    const before = this.#rows.get(this.#selected);
    before?.element.removeAttribute('aria-current');
    this.#selected = symbol;
    this.#rows.get(symbol).element.setAttribute('aria-current', 'true');
    this.#onSelect(symbol);
  }

  /** The first row that is shown. */
  first() {
    return this.#body.querySelector('tr:not([hidden])')?.dataset.symbol;
  }

  #row(symbol) {
    let row = this.#rows.get(symbol);
    if (row) return row;
    const element = document.createElement('tr');
    element.dataset.symbol = symbol;
    const head = document.createElement('th');
    head.scope = 'row';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = symbol;
    head.append(button);
    element.append(head);
    const cells = {};
    for (const key of KEYS) {
      const cell = document.createElement('td');
      cell.dataset.key = key;
      cell.textContent = NOTHING;
      if (key === 'scored') cell.className = 'text';
      cells[key] = cell;
      element.append(cell);
    }
    row = { symbol, element, button, cells, last: undefined, lastMs: Number.NaN, asOfMs: Number.NaN };
    this.#rows.set(symbol, row);
    this.#body.append(element);
    this.#show(row);
    this.#sight.observe(element);
    this.#orderSoon();
    this.#tellCount();
    return row;
  }

  #show(row) {
    row.element.hidden = this.#filter !== '' && !row.symbol.includes(this.#filter);
  }

  #tellCount() {
    let shown = 0;
    for (const row of this.#rows.values()) if (!row.element.hidden) shown++;
    this.#onCount(shown, this.#rows.size);
  }

  #onSight(changes) {
    for (const { target, isIntersecting } of changes) {
      const row = this.#rows.get(target.dataset.symbol);
      if (isIntersecting) {
        this.#inSight.add(row);
        this.#touch(row);
      } else this.#inSight.delete(row);
    }
  }

  #touch(row) {
    this.#dirty.add(row);
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      for (const it of this.#inSight) if (this.#dirty.delete(it)) this.#draw(it);
      if (this.#dirty.size > 0) this.#rest ||= whenIdle(() => this.#drawAtRest());
      if (this.#sort.key !== 'symbol') this.#orderSoon();
    });
  }

  #drawAtRest() {
    this.#rest = 0;
    let left = ROWS_AT_REST;
    for (const row of this.#dirty) {
      if (left-- === 0) break;
      this.#dirty.delete(row);
      this.#draw(row);
    }
    if (this.#dirty.size > 0) this.#rest ||= whenIdle(() => this.#drawAtRest());
  }

  #drawAge({ cells, forecast, asOfMs }) {
    const known = forecast !== undefined && !Number.isNaN(this.#now);
    write(cells.age, known ? age(this.#now - asOfMs) : NOTHING);
  }

  #draw(row) {
    const { cells, forecast, scored, last } = row;
    write(cells.last, last === undefined ? NOTHING : price(last));
    if (forecast === undefined) {
      for (const key of ['predicted', 'return']) write(cells[key], NOTHING, 'quiet');
      write(cells.width, 'warming up', 'quiet');
    } else {
      const { interval, predictedReturn } = forecast;
      const basis = basisPoints(predictedReturn);
      write(cells.predicted, price(forecast.predictedClose));
      write(cells.return, basis, basis.startsWith('+') ? 'up' : basis.startsWith('\u2212') ? 'down' : 'quiet');
      write(cells.width, `${price(interval.low)} – ${price(interval.high)}`);
    }
    this.#drawAge(row);
    const [text, kind] = scored ? DIRECTION[scored.direction] : [NOTHING, 'quiet'];
    write(cells.scored, text, `text ${kind}`);
    if (scored) {
      const title = `forecast ${basisPoints(scored.predictedReturn)} bp, came ${basisPoints(scored.realisedReturn)} bp, ${scored.covered ? 'inside' : 'outside'} its interval`;
      if (cells.scored.title !== title) cells.scored.title = title;
    }
  }

  #sortBy(key) {
    const same = this.#sort.key === key;
    // Numbers are first shown from the largest, names from A.
    this.#sort = { key, descending: same ? !this.#sort.descending : !['symbol', 'scored', 'age'].includes(key) };
    this.#markSort();
    this.#order();
  }

  #markSort() {
    for (const head of document.querySelectorAll('#table thead th')) {
      if (head.dataset.key !== this.#sort.key) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', this.#sort.descending ? 'descending' : 'ascending');
    }
  }

  #orderSoon() {
    const wait = this.#reorderedAt + REORDER_MS - performance.now();
    this.#reorderTimer ||= setTimeout(() => this.#order(), Math.max(0, wait));
  }

  #order() {
    clearTimeout(this.#reorderTimer);
    this.#reorderTimer = 0;
    this.#reorderedAt = performance.now();
    const { key, descending } = this.#sort;
    const value = SORT_VALUES[key];
    const sign = descending ? -1 : 1;
    const ordered = [...this.#rows.values()].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
      if (x !== y) return x < y ? -sign : sign;
      return a.symbol < b.symbol ? -1 : 1;
    });
    if (ordered.every((row, i) => this.#body.children[i] === row.element)) return;
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : undefined;
    this.#body.append(...ordered.map((row) => row.element));
    focused?.focus({ preventScroll: true });
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    let element = event.target.closest('tr');
    do element = step > 0 ? element?.nextElementSibling : element?.previousElementSibling;
    while (element?.hidden);
    if (!element) return;
    event.preventDefault();
    element.querySelector('button').focus();
    this.select(element.dataset.symbol);
  }
}

/** Writes a cell only where it differs: the browser then lays out nothing for the rest. */
function write(cell, text, kind = '') {
  if (cell.firstChild.data !== text) cell.firstChild.data = text;
  if (cell.className !== kind) cell.className = kind;
}
