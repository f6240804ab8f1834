/** What is shipped for operators names metrics, paths and options that exist. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Command } from 'commander';
import { registerFeed } from '../../src/cli/feed.ts';
import { registerServe } from '../../src/cli/serve.ts';
import { filledState, MODEL, serve } from './fixtures.ts';

const read = (name: string) => readFileSync(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');

test('every metric of the dashboard and the alerts is one that the server has', async (t) => {
  const state = filledState();
  state.setModel(state.model!, { ...MODEL, weightsHash: 'other' });
  state.setBus({ name: 'nats', state: 'connected', detail: null });
  const { url } = await serve(t, { state });
  await fetch(`${url}/api/v1/model`);
  const text = await (await fetch(`${url}/metrics`)).text();
  const known = new Set([...text.matchAll(/^([a-z_]+)(?:\{| )/gm)].map(([, name]) => name));
  const dashboard = JSON.parse(read('grafana-dashboard.json'));
  const expressions = dashboard.panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
    targets.map((it) => it.expr),
  );
  const alerts = [...read('prometheus-alerts.yaml').matchAll(/^ +expr: (.+)$/gm)].map(([, expression]) => expression);
  assert.ok(expressions.length > 15 && alerts.length > 7);
  for (const expression of [...expressions, ...alerts]) {
    const named = [...expression.matchAll(/\b(?:barcast|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => name);
    if (!expression.includes('up{')) assert.ok(named.length > 0, expression);
    for (const name of named)
      assert.ok(known.has(name) || text.includes(`# TYPE ${name} `), `${name} in ${expression}`);
  }
});

test('the manifests use options and probes that exist', async () => {
  const manifest = read('kubernetes/barcast.yaml');
  const program = new Command();
  registerServe(program);
  registerFeed(program);
  const options = new Set(program.commands.flatMap(({ options }) => options.map(({ long }) => long)));
  const used = [...manifest.matchAll(/(?<=[ [])(--[a-z-]+)(?==)/g)].map(([, name]) => name);
  assert.ok(used.length >= 8, used.join());
  for (const name of used) assert.ok(options.has(name), name);
  for (const [, path] of manifest.matchAll(/path: (\/\w+)/g)) assert.match(path, /^\/(healthz|readyz)$/);
});
