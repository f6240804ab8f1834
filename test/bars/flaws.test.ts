import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FLAW_KINDS, UNSCHEDULED_CLOSURES } from '../../src/bars/index.ts';

const page = readFileSync(new URL('../../docs/concepts/bars.md', import.meta.url), 'utf8');

test('the page on bars explains exactly the kinds of flaws that there are', () => {
  const section = page.slice(page.indexOf('## Flaws'), page.indexOf('## Quiet minutes'));
  const explained = [...section.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]!);
  assert.deepEqual(explained.sort(), [...FLAW_KINDS].sort());
});

test('the page on bars names every unscheduled closure', () => {
  const written = page.replace('2012-10-29 and 30', '2012-10-29, 2012-10-30');
  for (const day of Object.keys(UNSCHEDULED_CLOSURES)) assert.ok(written.includes(day), day);
});
