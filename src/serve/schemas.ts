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
    volatility: number('Standard deviation of that log return, as the window of bars has it'),
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
    skillScaled: nullableNumber("The same on returns divided by the width of the forecast's interval"),
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

const isoOrNull = (description: string) => ({ type: ['string', 'null'], description }) as const;

const monitor = object(
  {
    name: { type: 'string', enum: ['skill', 'coverage', 'inputs', 'range', 'volume'], description: 'What it watches' },
    test: { type: 'string', enum: ['CUSUM', 'PSI'], description: 'Cumulative sum, or population stability index' },
    state: {
      type: 'string',
      enum: ['learning', 'in bounds', 'alarm'],
      description: 'alarm: the statistic left its bound',
    },
    value: nullableNumber('The newest sample'),
    usual: nullableNumber('What it is compared with; null while that is learnt'),
    statistic: number('What the test made of the samples so far'),
    bound: number('An alarm begins above it'),
    since: isoOrNull('End of the sample that raised the alarm, ISO 8601 UTC'),
  },
  'One drift monitor',
);

const drift = object(
  {
    alarm: { type: 'boolean', description: 'Whether any monitor is out of bounds' },
    samples: whole('Samples taken: quarters of an hour, or more of them, with at least 300 scored forecasts'),
    monitors: list(reference('Monitor')),
  },
  'Whether the model still does what it did',
);

const scoreSummary = {
  model: text('Name of the model'),
  weightsHash: text("Hash of the model's weights"),
  horizonMinutes: whole('Horizon'),
  level: number('Nominal coverage of the intervals'),
  session: isoOrNull('The trading day of the session scores, YYYY-MM-DD'),
  since: isoOrNull('asOf of the oldest scored forecast'),
  waiting: whole('Forecasts whose minute has not come'),
  unscored: whole('Forecasts that cannot be scored: their horizon leaves the session or crosses a gap'),
  overall: bothScores,
  drift: reference('Drift'),
};

const scoreboard = object({
  ...scoreSummary,
  symbols: list(
    object({
      symbol: text('Symbol'),
      session: reference('Score'),
      total: reference('Score'),
      last: nullable(reference('ScoredForecast')),
    }),
  ),
  shadow: nullable(reference('ScoreSummary')),
  others: list(reference('ScoreSummary'), 'Models that forecast before, newest first'),
});

const model = object({
  name: text('Name'),
  weightsHash: text('Hash of the weights'),
  horizonMinutes: whole('Horizon'),
  level: number('Nominal coverage of the intervals'),
  details: { type: 'object', additionalProperties: true, description: 'Recipe, training range, validation' },
});

const models = object({
  ...model.properties,
  shadow: nullable(reference('Model')),
  changes: whole('Times that another model took over since this server started'),
});

const error = object({
  error: object({ code: text('A stable code, BARCAST_E_…'), message: text('What is wrong') }),
});

/** Schemas with a name, shared by the routes. */
export const SHARED_SCHEMAS = [
  { $id: 'Forecast', title: 'Forecast', ...forecast },
  { $id: 'Bar', title: 'Bar', ...bar },
  { $id: 'Score', title: 'Score', ...score },
  { $id: 'ScoredForecast', title: 'ScoredForecast', ...scored },
  { $id: 'Monitor', title: 'Monitor', ...monitor },
  { $id: 'Drift', title: 'Drift', ...drift },
  { $id: 'ScoreSummary', title: 'ScoreSummary', ...object(scoreSummary, 'The scores of a model without its symbols') },
  { $id: 'Scoreboard', title: 'Scoreboard', ...scoreboard },
  { $id: 'Model', title: 'Model', ...model },
  { $id: 'Models', title: 'Models', ...models },
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

type Security = readonly { readonly [scheme: string]: readonly string[] }[];
const TOKEN: Security = [{ token: [] }, {}];
const TOKEN_OR_QUERY: Security = [{ token: [] }, { tokenInQuery: [] }, {}];

/** A route that asks for the token, on a server that has one. */
const guarded = (operationId: string, tag: string) => ({ operationId, tags: [tag], security: TOKEN });

const readiness = object({
  ready: { type: 'boolean', description: 'Whether forecasts come' },
  reasons: list({ type: 'string' }, 'What stands in their way'),
  windows: {
    type: 'string',
    enum: ['none', 'warming', 'warm'],
    description: 'none: no bars yet; warming: no window of this session is full yet; warm: forecasts come',
  },
  lagMinutes: { type: ['integer', 'null'], description: 'Market minutes that forecasts are behind the bars' },
  bus: {
    anyOf: [object({ name: text('Name'), state: text('connected, reconnecting or closed') }), { type: 'null' }],
    description: 'null where one process does it all',
  },
});

const SWITCHING: Record<string, object> = { 101: { description: 'A WebSocket from here on', type: 'null' } };

export const TAGS = [
  { name: 'forecasts', description: 'What is forecast now and was forecast lately' },
  { name: 'bars', description: 'The bars that forecasts are made of' },
  { name: 'scores', description: 'What the forecasts were worth' },
  { name: 'model', description: 'Who forecasts' },
  { name: 'stream', description: 'Everything as it comes' },
  { name: 'operations', description: 'Probes and metrics' },
];

export const ROUTES = {
  predictions: {
    ...guarded('predictions', 'forecasts'),
    summary: 'The latest forecast of every symbol, in alphabetical order',
    querystring: {
      type: 'object',
      additionalProperties: false,
      properties: { symbols: { ...text('Only these, separated by commas'), maxLength: 4000 } },
    },
    response: {
      200: object({ marketTime: MARKET_TIME, predictions: list(reference('Forecast')) }),
      ...errors(400, 401, 404, 429),
    },
  },
  prediction: {
    ...guarded('prediction', 'forecasts'),
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
      ...errors(400, 401, 404, 429),
    },
  },
  bars: {
    ...guarded('bars', 'bars'),
    summary: 'The recent bars of a symbol, oldest first',
    params: symbolParameter,
    querystring: limitQuery(MOST_BARS, MOST_BARS),
    response: {
      200: object({ symbol: text('Symbol'), marketTime: MARKET_TIME, bars: list(reference('Bar')) }),
      ...errors(400, 401, 404, 429),
    },
  },
  scoreboard: {
    ...guarded('scoreboard', 'scores'),
    summary: 'How past forecasts did against what came, and against persistence',
    querystring: {
      type: 'object',
      additionalProperties: false,
      properties: {
        model: {
          ...text('active, shadow, or the weightsHash of a model that forecasts or did'),
          default: 'active',
          minLength: 1,
          maxLength: 128,
        },
      },
    },
    response: { 200: reference('Scoreboard'), ...errors(400, 401, 404, 429, 503) },
  },
  model: {
    ...guarded('model', 'model'),
    summary: 'The model that forecasts, and its shadow',
    response: { 200: reference('Models'), ...errors(401, 429, 503) },
  },
  stream: {
    operationId: 'stream',
    tags: ['stream'],
    security: TOKEN_OR_QUERY,
    summary: 'WebSocket: bars, forecasts and scores as they come',
    description:
      'Every message is a JSON object with a type: status, bars, forecasts, scores or time. The server sends, the client only listens.',
    querystring: {
      type: 'object',
      properties: { token: { ...text('The access token, where no header can be set'), maxLength: 512 } },
    },
    response: {
      ...SWITCHING,
      ...errors(400, 401, 403, 426, 429),
    },
  },
  healthz: {
    operationId: 'healthz',
    tags: ['operations'],
    summary: 'The process answers',
    response: {
      200: object({ status: { type: 'string', const: 'ok' }, uptimeSeconds: number('Since the process started') }),
    },
  },
  readyz: {
    operationId: 'readyz',
    tags: ['operations'],
    summary: 'A model is loaded, bars come, the bus is connected and forecasts keep up; if not, why',
    response: { 200: readiness, 503: readiness },
  },
  metrics: {
    ...guarded('metrics', 'operations'),
    summary: 'Prometheus metrics',
    response: { 200: { type: 'string' }, ...errors(401, 429) },
  },
} as const;
