/** The error line, and how foreign errors get a code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BarcastError, ERROR_CODES, systemErrorCode, toBarcastError } from '../../src/base/index.ts';

const withCode = (code: string, message = 'failed') => Object.assign(new Error(message), { code });

describe('errors', () => {
  it('are told in one line, whatever they quote', () => {
    const error = new BarcastError('BARCAST_E_DATE', "'2019\n13' is\r\n no date", 'write it as YYYY-MM-DD');
    assert.equal(error.line, "BARCAST_E_DATE: '2019 13' is no date; write it as YYYY-MM-DD");
    assert.equal(error.exitStatus, 2);
    assert.equal(new BarcastError('BARCAST_E_DISK_FULL', 'x', 'y').exitStatus, 1);
  });

  it('have codes of one form, each with a status and a sentence', () => {
    for (const [code, [status, meaning]] of Object.entries(ERROR_CODES)) {
      assert.match(code, /^BARCAST_E_[A-Z]+(_[A-Z]+)*$/);
      assert.ok(status === 1 || status === 2, code);
      assert.match(meaning, /^[A-Z].*\.$/, code);
    }
  });

  it('are all on their page, with status and meaning, and no others', () => {
    const page = readFileSync(new URL('../../docs/reference/errors.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `(BARCAST_E_\w+)` \| (\d) \| (.+) \|$/gm)].map(([, code, status, meaning]) => [
      code,
      Number(status),
      meaning,
    ]);
    assert.deepEqual(
      rows,
      Object.entries(ERROR_CODES).map(([code, [status, meaning]]) => [code, status, meaning]),
    );
  });

  it("find the system's code through causes", () => {
    const wrapped = new Error('outer', { cause: new Error('middle', { cause: withCode('ENOENT') }) });
    assert.equal(systemErrorCode(wrapped), 'ENOENT');
    assert.equal(systemErrorCode(withCode('ERR_INVALID_ARG_TYPE')), undefined);
    assert.equal(systemErrorCode('ENOENT'), undefined);
  });

  it('map a full disk and a refused permission to codes of their own', () => {
    const codeOf = (error: unknown) => toBarcastError(error).code;
    assert.equal(codeOf(withCode('ENOSPC')), 'BARCAST_E_DISK_FULL');
    assert.equal(codeOf(new Error('IO Error: No space left on device')), 'BARCAST_E_DISK_FULL');
    assert.equal(codeOf(withCode('EACCES')), 'BARCAST_E_PERMISSION');
    assert.equal(codeOf(withCode('EROFS')), 'BARCAST_E_PERMISSION');
    assert.equal(codeOf(new Error('IO Error: Cannot open file "a": Read-only file system')), 'BARCAST_E_PERMISSION');
    assert.equal(codeOf(withCode('ENOENT')), 'BARCAST_E_FILE_MISSING');
    assert.equal(codeOf(withCode('EISDIR')), 'BARCAST_E_FILE_MISSING');
    assert.equal(codeOf(new TypeError('x is not a function')), 'BARCAST_E_INTERNAL');
    assert.equal(codeOf('thrown text'), 'BARCAST_E_INTERNAL');
  });

  it('keep the cause, and leave what has a code alone', () => {
    const cause = withCode('ENOSPC');
    assert.equal(toBarcastError(cause).cause, cause);
    const own = new BarcastError('BARCAST_E_SYMBOL', 'x', 'y');
    assert.equal(toBarcastError(own), own);
  });
});
