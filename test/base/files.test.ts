/** Files that are whole or absent. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isTemporaryName, temporaryName, writeFileAtomic } from '../../src/base/index.ts';

describe('atomic files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-files-'));
  after(() => rmSync(folder, { recursive: true }));

  it('hold what was written last, and leave nothing beside them', () => {
    const path = join(folder, 'state.json');
    writeFileAtomic(path, 'first and longer');
    writeFileAtomic(path, 'zweitens: ü');
    assert.equal(readFileSync(path, 'utf8'), 'zweitens: ü');
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i);
    writeFileAtomic(path, bytes);
    assert.deepEqual(new Uint8Array(readFileSync(path)), bytes);
    assert.deepEqual(readdirSync(folder), ['state.json']);
  });

  it('stay as they were when the write fails', () => {
    const target = join(folder, 'taken');
    mkdirSync(join(target, 'inside'), { recursive: true });
    assert.throws(() => writeFileAtomic(target, 'text'), { code: /^E(ISDIR|NOTEMPTY|EXIST)$/ });
    assert.deepEqual(readdirSync(target), ['inside']);
    assert.throws(() => writeFileAtomic(join(folder, 'absent', 'file'), 'text'), { code: 'ENOENT' });
    assert.deepEqual(readdirSync(folder).filter(isTemporaryName), []);
  });

  it('are told from their temporary forms by name', () => {
    assert.ok(isTemporaryName(temporaryName('/data/bars.parquet')));
    assert.notEqual(temporaryName('a'), temporaryName('a'));
    assert.ok(!isTemporaryName('bars.parquet') && !isTemporaryName('notes.tmp'));
  });
});
