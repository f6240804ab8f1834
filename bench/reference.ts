/**
 * The reference project's way of testing, on a model of recipe `cs205`: the RMSE on min-max normalised prices of its
 * own random split after every epoch, with persistence on the very same windows beside it.
 *
 *     node bench/reference.ts MODEL
 *
 * Reads the bars that the model was trained on. `BARCAST_DATA` and `BARCAST_MODELS` as for the commands.
 */
import { epochMinute, epochMs, msToMinute } from '../src/base/index.ts';
import { recipeOf } from '../src/features/index.ts';
import { Registry } from '../src/model/index.ts';
import { openReader } from '../src/store/index.ts';
import { prepareInMemory } from '../src/train/prepare.ts';

const [reference] = process.argv.slice(2);
const description = new Registry(process.env.BARCAST_MODELS ?? './models').show(reference);
const { provenance } = description;
const recipe = recipeOf('cs205');
if (description.recipe?.name !== recipe.name || !provenance) throw new Error(`${reference} is not of recipe cs205`);
const minuteOf = (iso: string) => msToMinute(epochMs(Date.parse(iso)));
const reader = await openReader(process.env.BARCAST_DATA ?? './data');
const bars = await reader.read({
  symbols: provenance.symbols,
  from: minuteOf(provenance.from),
  to: epochMinute(minuteOf(provenance.to) + 1),
});
reader.close();
const { scaler, validation, windows } = await prepareInMemory(bars, recipe, recipe.training, provenance.seed);
if (windows !== provenance.windows) throw new Error(`the store gives ${windows} windows, not ${provenance.windows}`);
const span = Number(scaler.closeMax) - Number(scaler.closeMin);
let squares = 0;
for (let i = 0; i < validation.asOf.length; i++) {
  squares += ((validation.targetClose[i] - validation.lastClose[i]) / span) ** 2;
}
const byEpoch = provenance.history!.map(({ validationLoss }) => Math.sqrt(validationLoss));
const answer = {
  model: `${description.name}@${description.version}`,
  seed: provenance.seed,
  symbols: provenance.symbols.length,
  closes: [scaler.closeMin, scaler.closeMax],
  windows: { training: windows - validation.asOf.length, validation: validation.asOf.length },
  rmseByEpoch: byEpoch,
  lastEpoch: byEpoch.at(-1),
  persistence: Math.sqrt(squares / validation.asOf.length),
};
for (const [epoch, rmse] of byEpoch.entries()) console.error(`epoch ${epoch + 1}: ${rmse.toFixed(5)}`);
console.error(`persistence on the same windows: ${answer.persistence.toFixed(5)}`);
console.log(JSON.stringify(answer));
