/** The recipes by name. */
import { BarcastError } from '../base/index.ts';
import { cs205Recipe } from './cs205.ts';
import type { Recipe, RecipeName } from './recipe.ts';
import { returnsRecipe } from './returns.ts';

const RECIPES: Record<RecipeName, Recipe> = { returns: returnsRecipe, cs205: cs205Recipe };

export const RECIPE_NAMES: readonly RecipeName[] = ['returns', 'cs205'];

/** @throws BARCAST_E_USAGE for a name that is no recipe's */
export function recipeOf(name: string): Recipe {
  if (!Object.hasOwn(RECIPES, name)) {
    throw new BarcastError('BARCAST_E_USAGE', `'${name}' is not a recipe`, `choose one of ${RECIPE_NAMES.join(', ')}`);
  }
  return RECIPES[name as RecipeName];
}
