/** Ties the page together: what the server says goes to the list, the chart, the scores and the header. */
import { follow, get, RequestError } from './api.js';
import { SymbolChart } from './chart.js';
import { basisPoints, clockTime, marketTime, percent, price } from './format.js';
import { Scores } from './scores.js';
import { ForecastTable } from './table.js';

const SCOREBOARD_EVERY_MS = 20_000;
const HASH_SHOWN = 10;
/** Minutes behind the bars that are out of the ordinary. */
const LATE_MINUTES = 3;

const byId = (id) => document.getElementById(id);
const setText = (id, text) => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};

const scores = new Scores();
const chart = new SymbolChart(byId('chart'));
const table = new ForecastTable(onSelect, onCount);
let status;
let connection = 'connecting';
let symbolScores = new Map();
let scoreboardAt = 0;
let scoreboardTimer = 0;
let weights;
/** The symbol that the address names, chosen once the first forecasts are known. */
const wanted = (() => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
})();
let loaded = false;

// Header and notices

const CONNECTIONS = {
  connecting: ['waiting', 'Connecting'],
  open: ['live', 'Live'],
  lost: ['lost', 'Connection lost'],
  refused: ['lost', 'Access token needed'],
};

function onState(state, pauseMs) {
  connection = state;
  if (state === 'open') void load();
  showConnection();
  if (state === 'lost') setText('connection', `Connection lost, trying again in ${Math.round(pauseMs / 1000)} s`);
}

function showConnection() {
  let [kind, text] = CONNECTIONS[connection];
  if (connection === 'open' && status) {
    const { state } = status.source;
    if (state === 'ended') [kind, text] = ['waiting', 'Source ended'];
    else if (state === 'failed') [kind, text] = ['lost', 'Source failed'];
    else if (status.bus && status.bus.state !== 'connected') [kind, text] = ['lost', 'Bus lost'];
    else if (!status.ready) [kind, text] = ['waiting', 'Not ready'];
  }
  const pill = byId('connection');
  pill.dataset.state = kind;
  setText('connection', text);
  showNotice();
}

function showNotice() {
  const notice = byId('notice');
  let text = '';
  if (connection === 'refused') text = 'This server needs an access token: open the page as /?token=YOUR-TOKEN.';
  else if (connection === 'lost') text = 'What you see is the last that was known; it is not updated.';
  else if (connection === 'open' && status?.ready === false) text = `No new forecasts: ${status.reasons.join('; ')}.`;
  // An empty list says it itself.
  notice.hidden = text === '' || table.symbols.length === 0;
  setText('notice', text);
  showEmpty();
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function showEmpty() {
  const [shown, all] = [table.first() !== undefined, table.symbols.length];
  byId('empty').hidden = shown;
  if (shown) return;
  let [title, text] = [
    'Waiting for the first bars',
    'Forecasts appear here as soon as bars arrive and their windows are full.',
  ];
  if (connection === 'refused')
    [title, text] = ['No access', 'Forecasts are shown only with the access token of this server.'];
  else if (connection !== 'open')
    [title, text] = ['Connecting to the server', 'It does not answer yet. Is barcast serve still running?'];
  else if (all > 0) [title, text] = ['No symbol matches', 'Change or clear the filter (Escape) to see the others.'];
  else if (status?.reasons?.length > 0) [title, text] = ['Not ready yet', sentence(status.reasons.join('; '))];
  setText('empty-title', title);
  setText('empty-text', text);
}

function onCount(shown, all) {
  setText('count', all === 0 ? '' : shown === all ? `${all} symbols` : `${shown} of ${all} symbols`);
  showNotice();
}

function onTime(iso) {
  const ms = Date.parse(iso);
  setText('market-time', marketTime(ms));
  table.setNow(ms);
}

function onStatus(message) {
  status = message;
  const { model, shadow, source, bus } = message;
  setText('source', bus ? `${source.name} over ${bus.name}` : source.name);
  byId('shadow-fact').hidden = !shadow;
  setText('shadow', shadow?.name ?? '');
  setText('shadow-hash', shadow?.weightsHash.slice(0, HASH_SHOWN) ?? '');
  if (!shadow) scores.setShadow(null);
  scores.setAlarms(message.alarms);
  setText('model', model?.name ?? 'none yet');
  setText('hash', model?.weightsHash.slice(0, HASH_SHOWN) ?? '');
  if (model) {
    byId('hash').title = `weights ${model.weightsHash}`;
    setText('horizon-head', `In ${model.horizonMinutes} min`);
    setText('interval-head', `${percent(model.level, 0)} interval`);
    setText('legend-level', percent(model.level, 0));
    scores.setLevel(model.level);
    // What the model before has forecast stays until the next minute replaces it; the scores are the new model's.
    if (weights !== undefined && weights !== model.weightsHash) void load();
    weights = model.weightsHash;
  }
  showConnection();
}

// Data

/** What is known right now; the stream goes on from there. A newer value that came meanwhile is kept. */
async function load() {
  try {
    const { marketTime: now, predictions } = await get('predictions');
    onTime(now);
    for (const forecast of predictions) table.setForecast(forecast);
    loaded = true;
    if (table.selected !== undefined) void showSymbol(table.selected);
    chooseOne();
    await loadScoreboard();
  } catch (error) {
    // A lost connection is told by the stream, which loads again once it is back.
    if (!(error instanceof RequestError)) throw error;
  }
}

function chooseOne() {
  if (loaded && table.selected === undefined) table.select(table.symbols.includes(wanted) ? wanted : table.first());
}

async function loadScoreboard() {
  clearTimeout(scoreboardTimer);
  scoreboardTimer = 0;
  scoreboardAt = performance.now();
  try {
    const report = await get('scoreboard');
    scores.setOverall(report.overall);
    scores.setShadow(report.shadow?.overall ?? null);
    scores.setDrift(report.drift);
    symbolScores = new Map(report.symbols.map((it) => [it.symbol, it.session]));
    for (const { last } of report.symbols) if (last) table.setScored(last);
    scores.setSymbol(table.selected, symbolScores.get(table.selected));
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
  }
}

/** The scores by symbol come by request; they are renewed now and then while scores come in. */
function scoreboardSoon() {
  const wait = scoreboardAt + SCOREBOARD_EVERY_MS - performance.now();
  if (!document.hidden) scoreboardTimer ||= setTimeout(() => void loadScoreboard(), Math.max(0, wait));
}

/** How far the newest forecast is behind the newest bar, in minutes of the market. */
function showLag({ windows, lagMinutes }) {
  const text = lagMinutes === 0 ? 'not at all' : `${lagMinutes} min`;
  setText('lag', { none: 'no bars yet', warming: 'warming up', warm: text }[windows]);
  byId('lag').classList.toggle('late', lagMinutes > LATE_MINUTES);
}

function onMessage(message) {
  if (message.marketTime) onTime(message.marketTime);
  if (message.windows) showLag(message);
  if (message.type === 'status') onStatus(message);
  else if (message.type === 'forecasts') {
    for (const forecast of message.forecasts) {
      table.setForecast(forecast);
      if (forecast.symbol === table.selected) {
        chart.addForecast(forecast);
        showForecastLine(forecast);
      }
    }
  } else if (message.type === 'bars') {
    for (const bar of message.bars) {
      table.setBar(bar);
      if (bar.symbol === table.selected) chart.addBar(bar);
    }
  } else if (message.type === 'scores') {
    for (const scored of message.scores) table.setScored(scored);
    scores.setOverall(message.overall);
    scores.setShadow(message.shadow);
    scoreboardSoon();
  }
  chooseOne();
}

// The chosen symbol

function onSelect(symbol) {
  history.replaceState(null, '', `#${encodeURIComponent(symbol)}`);
  void showSymbol(symbol);
}

async function showSymbol(symbol) {
  setText('chart-title', symbol);
  byId('chart').setAttribute('aria-label', `Price chart of ${symbol}: recent minutes and the forecast`);
  scores.setSymbol(symbol, symbolScores.get(symbol));
  showForecastLine(table.forecast(symbol));
  const path = encodeURIComponent(symbol);
  try {
    const [{ bars }, { recent }] = await Promise.all([get(`bars/${path}`), get(`predictions/${path}?limit=120`)]);
    if (symbol === table.selected) chart.show(bars, recent);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (symbol === table.selected) chart.clear();
  }
}

function showForecastLine(forecast) {
  const line = byId('forecast-line');
  if (!forecast) {
    line.textContent = 'no forecast yet: its window is still filling';
    return;
  }
  const { lastClose, predictedClose, predictedReturn, interval, horizonMinutes, asOf } = forecast;
  const basis = basisPoints(predictedReturn);
  const strong = (text) => Object.assign(document.createElement('strong'), { textContent: text });
  const change = Object.assign(document.createElement('span'), { textContent: `${basis} bp` });
  change.className = basis.startsWith('+') ? 'up' : basis.startsWith('\u2212') ? 'down' : '';
  line.replaceChildren(
    strong(price(lastClose)),
    ` at ${clockTime(Date.parse(asOf))} → `,
    strong(price(predictedClose)),
    ` at ${clockTime(Date.parse(asOf) + horizonMinutes * 60_000)}  `,
    change,
    `, ${percent(interval.level, 0)} within ${price(interval.low)} – ${price(interval.high)}`,
  );
}

// Keys

const filter = byId('filter');
filter.addEventListener('input', () => table.setFilter(filter.value));
filter.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    filter.value = '';
    table.setFilter('');
  } else if (event.key === 'Enter' || event.key === 'ArrowDown') {
    event.preventDefault();
    const symbol = table.first();
    if (symbol === undefined) return;
    table.select(symbol);
    document.querySelector('#rows tr:not([hidden]) button').focus();
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target === filter || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  filter.focus();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && connection === 'open') scoreboardSoon();
});

showConnection();
follow(onMessage, onState);
