/**
 * What a trade may change in a bar, by its sale conditions: the codes of the consolidated feeds of US equities, CTA's
 * (tapes A and B) and UTP's (tape C).
 *
 * Sources: the sale condition tables of the CTS and UTDF specifications. They speak of the day's last price; here the
 * same is said of a minute's open and close: where they let a trade set the last price only if it is the only one that
 * can, it sets open and close of a minute in which nothing better traded.
 */

/** Bits of a rule. */
export const HIGH_LOW = 1;
/** Sets open and close. */
export const LAST = 2;
/** Sets open and close of a minute without a trade that has {@link LAST}. */
export const LAST_IF_ONLY = 4;
export const VOLUME = 8;
/** No new trade but a word about an earlier one: it is void, or has another price and size. */
export const CANCEL = 16;
export const CORRECT = 32;
/** With the others: a code that is not in the table. */
export const UNKNOWN_CONDITION = 64;

export const REGULAR = HIGH_LOW | LAST | VOLUME;
const NO_LAST = HIGH_LOW | LAST_IF_ONLY | VOLUME;

/** Every code, what it is called, and what it may change. What is not listed is regular, a blank too. */
export const SALE_CONDITIONS: Readonly<Record<string, readonly [name: string, rule: number]>> = {
  '@': ['regular sale', REGULAR],
  A: ['acquisition', REGULAR],
  B: ['average price (CTA), bunched (UTP)', VOLUME],
  C: ['cash sale', VOLUME],
  D: ['distribution', REGULAR],
  E: ['automatic execution', REGULAR],
  F: ['intermarket sweep', REGULAR],
  G: ['bunched sold', NO_LAST],
  H: ['price variation', VOLUME],
  I: ['odd lot', VOLUME],
  K: ['rule 127 or 155', REGULAR],
  L: ['sold last', NO_LAST],
  M: ['market center official close', 0],
  N: ['next day', VOLUME],
  O: ['opening print', REGULAR],
  P: ['prior reference price', NO_LAST],
  Q: ['market center official open', 0],
  R: ['seller', NO_LAST],
  S: ['split trade', REGULAR],
  T: ['extended hours (form T)', VOLUME],
  U: ['extended hours, sold out of sequence', VOLUME],
  V: ['contingent', VOLUME],
  W: ['average price', VOLUME],
  X: ['cross', REGULAR],
  Y: ['yellow flag', REGULAR],
  Z: ['sold out of sequence', NO_LAST],
  '1': ['stopped stock', REGULAR],
  '4': ['derivatively priced', NO_LAST],
  '5': ['reopening print', REGULAR],
  '6': ['closing print', REGULAR],
  '7': ['qualified contingent', VOLUME],
  '9': ['corrected consolidated close', HIGH_LOW | LAST],
};

/** By character code. */
const RULES = new Uint8Array(256).fill(VOLUME | UNKNOWN_CONDITION);
for (const [code, [, rule]] of Object.entries(SALE_CONDITIONS)) RULES[code.charCodeAt(0)] = rule;
for (const blank of ' ,;|') RULES[blank.charCodeAt(0)] = REGULAR;
const BUNCHED = 'B'.charCodeAt(0);

/**
 * The rule of a trade whose conditions so far allow `rule`, with one more: only what every condition allows is allowed.
 * @param code a character
 * @param isUtp whether it is from tape C, where B means another thing
 */
export function withCondition(rule: number, code: number, isUtp = false): number {
  const own = code === BUNCHED && isUtp ? REGULAR : RULES[code & 255];
  let both = rule & own & (HIGH_LOW | LAST | VOLUME);
  const last = LAST | LAST_IF_ONLY;
  if ((both & LAST) === 0 && (rule & last) !== 0 && (own & last) !== 0) both |= LAST_IF_ONLY;
  return both | ((rule | own) & UNKNOWN_CONDITION) | (rule & (CANCEL | CORRECT));
}

/** The rule of a trade with these conditions. */
export function ruleOf(conditions: string, isUtp = false): number {
  let rule = REGULAR;
  for (let i = 0; i < conditions.length; i++) rule = withCondition(rule, conditions.charCodeAt(i), isUtp);
  return rule;
}
