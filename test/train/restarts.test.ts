/** What restarts cost, counted from what ranks tell: each case is a job's life in messages. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Restarts } from '../../src/train/index.ts';

it('a restart does again what was done since the checkpoint that it begins from', () => {
  const restarts = new Restarts();
  assert.equal(restarts.begun(0, 1000), undefined);
  restarts.stepped(40);
  restarts.kept(50, 2000);
  restarts.stepped(80);
  restarts.lost('one', 2500);
  assert.deepEqual(restarts.begun(50, 9000), { why: 'one', steps: 30, seconds: 0.5 });
  // Before it has kept anything it does all again that it has done.
  restarts.stepped(70);
  restarts.lost('two', 9750);
  assert.deepEqual(restarts.begun(50, 20_000), { why: 'two', steps: 20, seconds: 0.75 });
  assert.deepEqual(
    restarts.list.map(({ why }) => why),
    ['one', 'two'],
  );
});

it('a start that was lost before it began lost nothing, and hides nothing of the one before', () => {
  const restarts = new Restarts();
  restarts.begun(0, 0);
  restarts.kept(10, 100);
  restarts.stepped(15);
  restarts.lost('one', 400);
  restarts.lost('two', 5000);
  restarts.begun(10, 8000);
  assert.deepEqual(restarts.list, [
    { why: 'one', steps: 5, seconds: 0.3 },
    { why: 'two', steps: 0, seconds: 0 },
  ]);
  restarts.lost('three', 8100);
  restarts.begun(10, 9000);
  assert.deepEqual(restarts.list[2], { why: 'three', steps: 0, seconds: 0.1 });
});

it('a checkpoint that nobody could tell of any more is newer than those that were told of', () => {
  const restarts = new Restarts();
  restarts.begun(0, 0);
  restarts.kept(10, 1000);
  restarts.kept(20, 2000);
  restarts.stepped(25);
  restarts.lost('one', 3500);
  assert.deepEqual(restarts.begun(30, 9000), { why: 'one', steps: 0, seconds: 1.5 });
});
