/** The scoreboard: what the forecasts were worth so far, said plainly. */
import { clockTime, NOTHING, percent, shortDay, signedPercent, wholeNumber } from './format.js';

/** Scored forecasts below which a skill is mostly luck. */
const ENOUGH = 500;

/** Column of the shadow's scores. */
const SHADOW = 3;

const bp = (value) => (value === null ? NOTHING : (value * 1e4).toFixed(1));

const MEASURES = [
  ['Skill against persistence', (score) => signedPercent(score.skill)],
  ['Skill, scaled', (score) => signedPercent(score.skillScaled)],
  ['Direction right', (score) => percent(score.directionalAccuracy)],
  ['Inside the interval', (score) => percent(score.coverage)],
  ['RMS error / persistence, bp', (score) => `${bp(score.rmse)} / ${bp(score.persistenceRmse)}`],
  ['Forecasts scored', (score) => wholeNumber(score.forecasts)],
];

export class Scores {
  #cells = [];
  #coverage;
  #total = { forecasts: 0, skill: null, skillScaled: null };
  #drifting = false;

  constructor() {
    const body = document.getElementById('scores');
    for (const [name] of MEASURES) {
      const row = body.insertRow();
      const head = document.createElement('th');
      head.scope = 'row';
      head.textContent = name;
      row.append(head);
      if (name === 'Skill, scaled')
        head.title = "On returns divided by the width of the forecast's interval: no symbol drowns the others";
      this.#cells.push(
        Array.from({ length: 4 }, (_, column) => {
          const cell = row.insertCell();
          cell.textContent = NOTHING;
          if (column === SHADOW) cell.className = 'shadow-score';
          return cell;
        }),
      );
      if (name.startsWith('Inside')) this.#coverage = head;
    }
  }

  /** The level that the coverage should come to. */
  setLevel(level) {
    this.#coverage.textContent = `Inside the ${percent(level, 0)} interval`;
  }

  setOverall({ session, total }) {
    this.#write(0, session);
    this.#write(1, total);
    this.#total = total;
    this.#judge();
  }

  /** @param score of the chosen symbol in this session, or undefined */
  setSymbol(symbol, score) {
    document.getElementById('score-symbol').textContent = symbol ?? 'Symbol';
    this.#write(2, score);
  }

  /** @param shadow its scores, or null for none */
  setShadow(shadow) {
    document.getElementById('score-table').classList.toggle('with-shadow', shadow !== null);
    this.#write(SHADOW, shadow?.total);
  }

  /** What the drift monitors say of the active model. */
  setDrift({ samples, monitors }) {
    const learning = monitors.filter(({ state }) => state === 'learning').length;
    const text =
      learning === monitors.length
        ? `Drift monitors are learning what is usual (${wholeNumber(samples)} samples so far).`
        : monitors.map(({ name, state }) => `${name} ${state === 'alarm' ? 'out of bounds' : state}`).join(' · ');
    const line = document.getElementById('drift-line');
    line.textContent = learning === monitors.length ? text : `Drift: ${text}`;
    line.title = monitors
      .map(({ name, test, statistic, bound }) => `${name}: ${test} ${statistic.toFixed(2)} of ${bound}`)
      .join('\n');
  }

  /** Monitors that are out of bounds, of the active model and its shadow: one line each. */
  setAlarms(alarms) {
    const lines = ['active', 'shadow'].map((role) => alarms.filter((alarm) => alarm.role === role));
    const list = document.getElementById('alarms');
    list.hidden = alarms.length === 0;
    list.replaceChildren(
      ...lines
        .filter((line) => line.length > 0)
        .map((line) => Object.assign(document.createElement('li'), { textContent: alarmLine(line) })),
    );
    document.getElementById('drift-line').hidden = lines[0].length > 0;
    this.#drifting = lines[0].some(({ monitor }) => monitor === 'skill');
    this.#judge();
  }

  #write(column, score) {
    MEASURES.forEach(([, text], i) => {
      this.#cells[i][column].textContent = score ? text(score) : NOTHING;
    });
  }

  #judge() {
    const [kind, verdict, text] = verdictOf(this.#total, this.#drifting);
    const badge = document.getElementById('verdict');
    badge.dataset.verdict = kind;
    badge.textContent = verdict;
    document.getElementById('verdict-text').textContent = text;
  }
}

const ALARMS = {
  skill: ({ value, usual }) => `scaled skill ${signedPercent(value)}, was ${signedPercent(usual)}`,
  coverage: ({ value, usual }) => `${percent(value)} inside the ${percent(usual, 0)} interval`,
  inputs: () => 'bars unlike those before',
  range: ({ value, usual }) => `minutes ${value > usual ? 'wider' : 'narrower'} than they were`,
  volume: ({ value, usual }) => `minutes ${value > usual ? 'busier' : 'quieter'} than those before`,
};

function alarmLine(alarms) {
  const [{ role, model }] = alarms;
  const since = Math.min(...alarms.map((alarm) => Date.parse(alarm.since)));
  const what = alarms.map((alarm) => ALARMS[alarm.monitor](alarm)).join('; ');
  return `Drift${role === 'shadow' ? ` of the shadow ${model}` : ''} since ${shortDay(since)} ${clockTime(since)}: ${what}`;
}

function verdictOf({ forecasts, skill, skillScaled }, drifting) {
  if (forecasts === 0 || skill === null) {
    return ['none', 'Nothing scored yet', 'A forecast is scored when its minute has come.'];
  }
  if (drifting) return ['behind', 'Drifting', 'The forecasts are no longer worth what they were.'];
  if (forecasts < ENOUGH) {
    return [
      'none',
      'Too early to tell',
      `${wholeNumber(forecasts)} forecasts are scored; below ${ENOUGH} it is mostly luck.`,
    ];
  }
  if (skill <= 0 || !(skillScaled > 0)) {
    return ['behind', 'No edge yet', `So far, answering “the price stays” would have done as well or better.`];
  }
  return ['ahead', 'Ahead of persistence', 'Squared error below that of answering “the price stays”, since the start.'];
}
