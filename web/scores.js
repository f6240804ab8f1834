/** The scoreboard: what the forecasts were worth so far, said plainly. */
import { NOTHING, percent, signedPercent, wholeNumber } from './format.js';

/** Scored forecasts below which a skill is mostly luck. */
const ENOUGH = 500;

const bp = (value) => (value === null ? NOTHING : `${(value * 1e4).toFixed(1)} bp`);

const MEASURES = [
  ['Skill against persistence', (score) => signedPercent(score.skill)],
  ['Direction right', (score) => percent(score.directionalAccuracy)],
  ['Inside the interval', (score) => percent(score.coverage)],
  ['RMS error of the return', (score) => bp(score.rmse)],
  ['RMS error of persistence', (score) => bp(score.persistenceRmse)],
  ['Forecasts scored', (score) => wholeNumber(score.forecasts)],
];

export class Scores {
  #cells = [];
  #coverage;

  constructor() {
    const body = document.getElementById('scores');
    for (const [name] of MEASURES) {
      const row = body.insertRow();
      const head = document.createElement('th');
      head.scope = 'row';
      head.textContent = name;
      row.append(head);
      this.#cells.push(
        Array.from({ length: 3 }, () => {
          const cell = row.insertCell();
          cell.textContent = NOTHING;
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
    this.#judge(total);
  }

  /** @param score of the chosen symbol in this session, or undefined */
  setSymbol(symbol, score) {
    document.getElementById('score-symbol').textContent = symbol ?? 'Symbol';
    this.#write(2, score);
  }

  #write(column, score) {
    MEASURES.forEach(([, text], i) => {
      this.#cells[i][column].textContent = score ? text(score) : NOTHING;
    });
  }

  #judge({ forecasts, skill }) {
    const [kind, verdict, text] = verdictOf(forecasts, skill);
    const badge = document.getElementById('verdict');
    badge.dataset.verdict = kind;
    badge.textContent = verdict;
    document.getElementById('verdict-text').textContent = text;
  }
}

function verdictOf(forecasts, skill) {
  if (forecasts === 0 || skill === null) {
    return ['none', 'Nothing scored yet', 'A forecast is scored when its minute has come.'];
  }
  if (forecasts < ENOUGH) {
    return [
      'none',
      'Too early to tell',
      `${wholeNumber(forecasts)} forecasts are scored; below ${ENOUGH} it is mostly luck.`,
    ];
  }
  if (skill <= 0) {
    return ['behind', 'No edge yet', `So far, answering “the price stays” would have done as well or better.`];
  }
  return ['ahead', 'Ahead of persistence', 'Squared error below that of answering “the price stays”, since the start.'];
}
