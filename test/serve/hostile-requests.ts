/** Requests that nobody in their right mind sends, made from the server's own OpenAPI document. */
import type { Random } from '../../src/base/index.ts';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
}
export interface OpenApi {
  readonly paths: Readonly<
    Record<string, { get: { parameters?: readonly Parameter[]; responses: Readonly<Record<string, unknown>> } }>
  >;
}

export interface HostileRequest {
  readonly bytes: Buffer;
  /** Path of the document, where the request line names it in a form that a router must understand. */
  readonly plain: string | undefined;
}

const STRINGS = [
  '',
  '%',
  '%zz',
  '%f0%28%8c%28',
  '%00',
  '%2e%2e%2f%2e%2e%2fpackage.json',
  '../../package.json',
  "' OR 1=1 --",
  '<script>alert(1)</script>',
  '__proto__',
  'constructor',
  'toString',
  '{{7*7}}',
  '\u0000\u0001\u0002',
  '\ud800',
  '日本語',
  'A,B,,,A',
  '-1',
  '0',
  '1e309',
  'NaN',
  '9007199254740993',
  '[]',
  '{"a":1}',
  'null',
  'true',
  'A'.repeat(40),
  'A'.repeat(5000),
  '%41'.repeat(3000),
];
const METHODS = ['GET', 'GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];
const ODD_METHODS = ['get', 'FOO', 'GE T', '', '\u00e9', 'PROPFIND'];
const OTHER_PATHS = ['/', '/docs', '/app.js', '//', '/.', '/..', '/%2e%2e/%2e%2e/etc/passwd', '/vendor/../x', '*', ''];
const HEADERS: readonly [string, readonly string[]][] = [
  ['Authorization', ['Bearer', 'Bearer x y', 'Basic Og==', `Bearer ${'t'.repeat(9000)}`, 'bearer \u00ff']],
  [
    'Content-Type',
    ['application/json', 'text/xml', 'multipart/form-data; boundary=', ';;;', 'application/json; charset=\u0000'],
  ],
  ['Content-Length', ['-1', '0', '7', '99999999999999999999', 'x', '5, 5']],
  ['Transfer-Encoding', ['chunked', 'chunked, chunked', 'identity', 'gzip', 'xchunked']],
  ['Expect', ['100-continue', 'nothing']],
  ['Range', ['bytes=0-0', 'bytes=-1', 'bytes=9-1', 'bytes=0-,0-,0-']],
  ['If-Modified-Since', ['yesterday', '0']],
  ['Accept-Encoding', ['gzip;q=9', '*', ',,,']],
  ['Origin', ['null', 'http://evil.example', '::::']],
  ['Host', ['', 'a b', '[::1', 'x'.repeat(300)]],
  ['X-Forwarded-For', ['127.0.0.1', "';--", ','.repeat(200)]],
  ['Cookie', ['a=b; '.repeat(500)]],
  ['Upgrade', ['websocket', 'h2c', '']],
  ['Connection', ['Upgrade', 'close', 'keep-alive, Upgrade', 'Host']],
  ['Sec-WebSocket-Key', ['x', '', 'dGhlIHNhbXBsZSBub25jZQ==']],
  ['Sec-WebSocket-Version', ['13', '-1', '99']],
  ['X-\u0000', ['1']],
  ['Bad Header', ['1']],
];

export class HostileRequests {
  readonly #random: Random;
  readonly #paths: readonly string[];
  readonly #api: OpenApi;

  constructor(random: Random, api: OpenApi) {
    this.#random = random;
    this.#api = api;
    this.#paths = Object.keys(api.paths);
  }

  #below = (n: number) => Math.floor(n * this.#random.uniform());
  #pick = <T>(list: readonly T[]): T => list[this.#below(list.length)];
  #chance = (p: number) => this.#random.uniform() < p;

  next(): HostileRequest {
    const template = this.#pick(this.#paths);
    const documented = this.#chance(0.85);
    const method = this.#chance(0.93) ? this.#pick(METHODS) : this.#pick(ODD_METHODS);
    const target = documented ? this.#fill(template) : this.#pick(OTHER_PATHS);
    const headers: string[] = this.#chance(0.95) ? ['Host: localhost'] : [];
    const odd = this.#chance(0.5) ? this.#below(4) : 0;
    for (let i = 0; i < odd; i++) {
      const [name, values] = this.#pick(HEADERS);
      headers.push(`${name}: ${this.#pick(values)}`);
    }
    if (this.#chance(0.02)) headers.push(`X-Long: ${'x'.repeat(20_000)}`);
    if (this.#chance(0.02)) for (let i = 0; i < 2500; i++) headers.push(`X-${i}: 1`);
    const body = this.#chance(0.25) ? this.#body() : Buffer.alloc(0);
    if (body.length > 0 && this.#chance(0.7)) headers.push(`Content-Length: ${body.length}`);
    const version = this.#chance(0.97) ? 'HTTP/1.1' : this.#pick(['HTTP/1.0', 'HTTP/9.9', 'HTTP', '']);
    const end = this.#chance(0.97) ? '\r\n' : '\n';
    const head = [`${method} ${target} ${version}`, ...headers, '', ''].join(end);
    const wellFormed =
      method === 'GET' && version === 'HTTP/1.1' && odd === 0 && headers.length === 1 && end === '\r\n';
    // Characters beyond ASCII are written as they are: what a broken client does.
    const plain =
      documented && wellFormed && body.length === 0 && /^[\x21-\x7e]*$/.test(target) && !target.includes('..')
        ? template
        : undefined;
    return { bytes: Buffer.concat([Buffer.from(head, 'latin1'), body]), plain };
  }

  /** Bytes after the handshake of a WebSocket. */
  frames(): Buffer {
    const kind = this.#below(6);
    if (kind === 0) return this.#noise(200);
    if (kind === 1) return Buffer.from([0x81, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f]); // not masked
    if (kind === 2) return Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]); // 2^63 bytes
    if (kind === 3) return Buffer.from([0x80 | (3 + this.#below(5)), 0x80, 0, 0, 0, 0]); // a reserved opcode
    if (kind === 4) return Buffer.from([0x09, 0x80, 0, 0, 0, 0]); // a ping in pieces
    const payload = this.#noise(600);
    const mask = this.#noise(4, 4);
    const masked = payload.map((byte, i) => byte ^ mask[i % 4]);
    return Buffer.concat([Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255]), mask, masked]);
  }

  /** A path of the document with its parameters filled in and more beside them. */
  #fill(template: string): string {
    const { parameters = [] } = this.#api.paths[template].get;
    const path = template.replace(/\{[^}]+\}/g, () => (this.#chance(0.3) ? 'A' : this.#value()));
    const query = parameters
      .filter((it) => it.in === 'query' && this.#chance(0.6))
      .map((it) => `${it.name}=${this.#value()}`);
    if (this.#chance(0.15)) query.push(`${this.#value()}=${this.#value()}`);
    if (this.#chance(0.05)) query.push(...query);
    return query.length > 0 ? `${path}?${query.join('&')}` : path;
  }

  #value(): string {
    const value = this.#chance(0.8) ? this.#pick(STRINGS) : this.#noise(40).toString('latin1');
    if (!this.#chance(0.6)) return value.replace(/[\r\n ]/g, '_');
    try {
      return encodeURIComponent(value);
    } catch {
      return '%ED%A0%80'; // a lone surrogate
    }
  }

  #body(): Buffer {
    if (this.#chance(0.1)) return Buffer.alloc(200_000, 'x');
    if (this.#chance(0.3)) return Buffer.from('{"limit":{"limit":{}}}');
    return this.#noise(300);
  }

  #noise(most: number, least = 0): Buffer {
    return Buffer.from(Array.from({ length: least + this.#below(most - least + 1) }, () => this.#below(256)));
  }
}
