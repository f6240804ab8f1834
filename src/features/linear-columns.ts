/** What the inputs of the linear forecast are made of: where the features lie in a row. */
export interface LinearColumns {
  readonly logReturn: number;
  readonly range: number;
  readonly closePosition: number;
  readonly explained: number;
  readonly peers: number;
}
