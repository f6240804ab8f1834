/** JSON schemas of the HTTP interface: they check requests, write answers and become the OpenAPI page. */

const text = (description: string) => ({ type: 'string', description }) as const;
const number = (description: string) => ({ type: 'number', description }) as const;
const nullableNumber = (description: string) => ({ type: ['number', 'null'], description }) as const;
const whole = (description: string) => ({ type: 'integer', description }) as const;

const object = <P extends Record<string, unknown>>(properties: P, description?: string) =>
  ({ type: 'object', required: Object.keys(properties), properties, ...(description ? { description } : {}) }) as const;
const list = (items: unknown, description?: string) => ({
  type: 'array',
  items,
  ...(description ? { description } : {}),
});
const reference = (name: string) => ({ $ref: `${name}#` });
const nullable = (schema: unknown) => ({ anyOf: [schema, { type: 'null' }] });

const MARKET_TIME = text("The market's clock, ISO 8601 UTC: the present time, or the replay's");

const forecast = object(
  {
    symbol: text('As Yahoo writes it, as BRK-B'),
    asOf: text('End of the last bar used, ISO 8601 UTC'),
    horizonMinutes: whole('The forecast is for asOf + horizonMinutes'),
    lastClose: number('Close of the last bar used'),
    predictedClose: number('lastClose * exp(predictedReturn)'),
    predictedReturn: number('Log return from lastClose to predictedClose; 0.0001 is one basis point'),
    interval: object(
      {
        level: number('Probability that the close lies inside, as 0.8'),
        low: number('Lower price'),
        high: number('Upper price'),
      },
      'Where the close at the horizon is meant to lie',
    ),
    model: text('Name of the model'),
    weightsHash: text("Hash of the model's weights"),
    latencyMs: number('Milliseconds from the arrival of the bars to the forecast'),
  },
  'One forecast',
);

const bar = object(
  {
    symbol: text('As Yahoo writes it'),
    time: text("The bar's OPEN, ISO 8601 UTC; it is known a minute later"),
    open: number('First price'),
    high: number('Highest price'),
    low: number('Lowest price'),
    close: number('Last price'),
    volume: nullableNumber('Shares; null when the source gave none'),
  },
  'One minute of trading',
);

const score = object(
  {
    forecasts: whole('Forecasts scored'),
    skill: nullableNumber('1 - MSE / MSE of persistence on log returns; above 0 is better than "the price stays"'),
    rmse: nullableNumber('Root mean square error of the log return'),
    persistenceRmse: nullableNumber('The same of persistence'),
    directionalAccuracy: nullableNumber('Share of moves whose direction was forecast'),
    coverage: nullableNumber('Share of closes inside their interval'),
  },
  'null where there is nothing to say yet',
);

const scored = object({
  symbol: text('Symbol'),
  asOf: text('asOf of the forecast'),
  predictedReturn: number('Log return forecast'),
  realisedReturn: number('Log return that came'),
  realisedClose: number('Price that came'),
  direction: {
    type: 'string',
    enum: ['hit', 'miss', 'flat'],
    description: 'flat: the price or the forecast did not move',
  },
  covered: { type: 'boolean', description: 'Whether the close lay in the interval' },
});

const bothScores = object({ session: reference('Score'), total: reference('Score') });

const scoreboard = object({
  model: text('Name of the model'),
  weightsHash: text("Hash of the model's weights"),
  horizonMinutes: whole('Horizon'),
  level: number('Nominal coverage of the intervals'),
  session: { type: ['string', 'null'], description: 'The trading day of the session scores, YYYY-MM-DD' },
  waiting: whole('Forecasts whose minute has not come'),
  unscored: whole('Forecasts that cannot be scored: their horizon leaves the session or crosses a gap'),
  overall: bothScores,
  symbols: list(
    object({
      symbol: text('Symbol'),
      session: reference('Score'),
      total: reference('Score'),
      last: nullable(reference('ScoredForecast')),
    }),
  ),
});

const model = {
  ...object({
    name: text('Name'),
    weightsHash: text('Hash of the weights'),
    horizonMinutes: whole('Horizon'),
    level: number('Nominal coverage of the intervals'),
    details: { type: 'object', additionalProperties: true, description: 'Recipe, training range, validation' },
  }),
};

const error = object({
  error: object({ code: text('A stable code, BARCAST_E_…'), message: text('What is wrong') }),
});

/** Schemas with a name, shared by the routes. */
export const SHARED_SCHEMAS = [
  { $id: 'Forecast', title: 'Forecast', ...forecast },
  { $id: 'Bar', title: 'Bar', ...bar },
  { $id: 'Score', title: 'Score', ...score },
  { $id: 'ScoredForecast', title: 'ScoredForecast', ...scored },
  { $id: 'Scoreboard', title: 'Scoreboard', ...scoreboard },
  { $id: 'Model', title: 'Model', ...model },
  { $id: 'Error', title: 'Error', ...error },
] as const;

const errors = (...statuses: number[]) => Object.fromEntries(statuses.map((status) => [status, reference('Error')]));
const symbolParameter = object({ symbol: { ...text('Any spelling: BRK-B, brk.b'), minLength: 1, maxLength: 32 } });
const limitQuery = (most: number, otherwise: number) => ({
  type: 'object',
  additionalProperties: false,
  properties: {
    limit: { type: 'integer', minimum: 1, maximum: most, default: otherwise, description: 'How many, newest ones' },
  },
});

/** Most bars and forecasts of one answer: what a `LiveState` keeps of a symbol. */
const MOST_BARS = 390;
const MOST_FORECASTS = 120;

export const ROUTES = {
  predictions: {
    tags: ['forecasts'],
    summary: 'The latest forecast of every symbol, in alphabetical order',
    querystring: {
      type: 'object',
      additionalProperties: false,
      properties: { symbols: { ...text('Only these, separated by commas'), maxLength: 4000 } },
    },
    response: {
      200: object({ marketTime: MARKET_TIME, predictions: list(reference('Forecast')) }),
      ...errors(400, 401, 404),
    },
  },
  prediction: {
    tags: ['forecasts'],
    summary: 'The latest forecast of a symbol and the ones before it, newest first',
    params: symbolParameter,
    querystring: limitQuery(MOST_FORECASTS, 60),
    response: {
      200: object({
        symbol: text('Symbol'),
        marketTime: MARKET_TIME,
        latest: nullable(reference('Forecast')),
        recent: list(reference('Forecast')),
      }),
      ...errors(400, 401, 404),
    },
  },
  bars: {
    tags: ['bars'],
    summary: 'The recent bars of a symbol, oldest first',
    params: symbolParameter,
    querystring: limitQuery(MOST_BARS, MOST_BARS),
    response: {
      200: object({ symbol: text('Symbol'), marketTime: MARKET_TIME, bars: list(reference('Bar')) }),
      ...errors(400, 401, 404),
    },
  },
  scoreboard: {
    tags: ['scores'],
    summary: 'How past forecasts did against what came, and against persistence',
    response: { 200: reference('Scoreboard'), ...errors(401, 503) },
  },
  model: {
    tags: ['model'],
    summary: 'The model that forecasts',
    response: { 200: reference('Model'), ...errors(401, 503) },
  },
  stream: {
    tags: ['stream'],
    summary: 'WebSocket: bars, forecasts and scores as they come',
    querystring: { type: 'object', properties: { token: text('The access token, where no header can be set') } },
  },
  healthz: {
    tags: ['operations'],
    summary: 'The process answers',
    response: { 200: object({ status: { type: 'string', const: 'ok' } }) },
  },
  readyz: {
    tags: ['operations'],
    summary: 'A model is loaded and the source of bars is running; if not, why',
    response: Object.fromEntries(
      [200, 503].map((status) => [status, object({ ready: { type: 'boolean' }, reasons: list({ type: 'string' }) })]),
    ),
  },
  metrics: { tags: ['operations'], summary: 'Prometheus metrics', response: { 200: { type: 'string' } } },
} as const;
