/** What the inputs of the linear forecast are made of. */

/** Where the features lie in a row. */
export interface LinearColumns {
  readonly logReturn: number;
  readonly range: number;
  readonly closePosition: number;
  readonly explained: number;
  readonly peers: number;
  readonly quiet: number;
  readonly clock: number;
  readonly surprise: number;
  readonly leader: number;
}

/** A window's own units. */
export interface WindowScales {
  /** Of one-minute log returns. */
  readonly minuteVolatility: number;
  /** Surprises of the volume are standardised with (x - mean) * gain. */
  readonly surpriseMean: number;
  readonly surpriseGain: number;
}
