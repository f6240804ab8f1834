/** How bars and the state of the server look on the wire. Forecasts and scores go out as they are. */
import { isoOfMinute } from '../base/index.ts';
import type { LiveState } from '../stream/index.ts';

type StateBar = ReturnType<LiveState['bars']['list']>[number];

/** A bar as JSON: `time` is its OPEN; a volume that was not given is null. */
export const barView = ({ symbol, minute, open, high, low, close, volume }: StateBar) => ({
  symbol,
  time: isoOfMinute(minute),
  open,
  high,
  low,
  close,
  volume: Number.isFinite(volume) ? volume : null,
});

/** What is told at the start of a stream and whenever it changes. */
export const statusView = (state: LiveState) => ({
  marketTime: state.marketTime(),
  model: state.model ?? null,
  shadow: state.shadow ?? null,
  source: state.source,
  symbols: state.symbols().length,
  forecasting: state.forecasting,
  lastBarEnd: state.lastBarEnd === undefined ? null : new Date(state.lastBarEnd).toISOString(),
  bus: state.bus ?? null,
  windows: state.windows(),
  lagMinutes: state.lagMinutes(),
  alarms: state.alarms(),
  ...state.readiness(),
});
