/** `barcast models list|show|promote|rollback|shadow`: the registry. A running `barcast serve` follows it. */

import { Command } from 'commander';
import { BarcastError } from '../base/index.ts';
import { Registry } from '../model/index.ts';
import { action, command, type Register } from './context.ts';

const list = action(command('list', 'the models and their versions'), async ({ models }) => {
  const entries = new Registry(models).list();
  const lines = entries.map(
    ({ name, current, shadow, versions }) =>
      `${name}  current ${current ?? 'none'}${shadow ? `  shadow ${shadow}` : ''}  ${versions.length} version${versions.length === 1 ? '' : 's'}`,
  );
  return {
    json: { models: entries },
    text: lines.length > 0 ? lines.join('\n') : `no models in ${models}; 'barcast train' makes one`,
  };
});

const show = action(
  command('show', "a model's description").argument('<model>', 'NAME, NAME@VERSION or a folder'),
  async ({ models }, _options, [model]) => {
    const description = new Registry(models).show(model);
    return { json: description, text: JSON.stringify(description, null, 2) };
  },
);

const promote = action(
  command('promote', 'make a version the current one').argument('<model>', 'NAME@VERSION'),
  async ({ models }, _options, [reference]) => {
    const [name, version] = reference.split('@', 2);
    if (!version)
      throw new BarcastError(
        'BARCAST_E_USAGE',
        `'${reference}' names no version`,
        'write NAME@VERSION, as models list shows them',
      );
    new Registry(models).promote(name, version);
    return { json: { model: name, version }, text: `${name} is now ${version}` };
  },
);

const rollback = action(
  command('rollback', 'make the version current that was so before').argument('<name>', "the model's name"),
  async ({ models }, _options, [name]) => {
    const version = new Registry(models).rollback(name);
    return { json: { model: name, version }, text: `${name} is back at ${version}` };
  },
);

interface ShadowCommand {
  readonly off?: boolean;
}

const shadow = action<ShadowCommand>(
  command('shadow', 'let a second model forecast silently beside the current one, and be scored')
    .argument('<name>', "the model's name")
    .argument('[model]', 'NAME@VERSION, or NAME for its current version')
    .option('--off', 'let no model shadow it'),
  async ({ models }, { off }, [name, reference]) => {
    if ((reference === undefined) !== (off === true))
      throw new BarcastError(
        'BARCAST_E_USAGE',
        'a shadow is either a model or --off',
        `write 'barcast models shadow ${name} NAME@VERSION', or '--off' to end it`,
      );
    const chosen = new Registry(models).shadow(name, reference);
    return {
      json: { model: name, shadow: chosen ?? null },
      text: chosen ? `${chosen} now forecasts silently beside ${name}` : `${name} has no shadow now`,
    };
  },
);

export const registerModels: Register = (program) => {
  const models = new Command('models').description('the registry of models');
  for (const child of [list, show, promote, rollback, shadow]) models.addCommand(child);
  program.addCommand(models);
};
