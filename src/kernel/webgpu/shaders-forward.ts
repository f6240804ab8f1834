/** WGSL of one LSTM layer's forward pass; the equations are in `reference/lstm.ts`, the memory in `plan.ts`. */
import type { Cut } from './cut.ts';
import type { NetworkPlan } from './plan.ts';
import { ACTIVATIONS, CHUNK, numbersOf, repeat } from './shaders-common.ts';
import { directives, GATES, overRows, threadsOf } from './shaders-pass.ts';

/**
 * All steps of a layer. Bindings: chunk, packed weights, its inputs, where its last hidden state goes (`head`); then
 * with `next` the inputs of the layer above, and with `keep` (training) gates and cells.
 */
export function lstmForward(plan: NetworkPlan, l: number, cut: Cut, keep: boolean): string {
  const { inputs: I, units: H, packed, half } = plan.lstm[l];
  const K = I + H;
  const top = l === plan.lstm.length - 1;
  const { U, V, W, threads, each, parameters, own } = threadsOf(cut, H);
  const { vector, read, write } = numbersOf(half);
  const weights = cut.resident
    ? {
        memory: `var<workgroup> weights: array<${vector}, ${(K + 1) * H}>;`,
        load: `for (var w = thread; w < ${(K + 1) * H}u; w += ${threads}u) { weights[w] = packed[${packed}u + w]; }`,
        at: (index: string) => read(`weights[${index}]`),
      }
    : { memory: '', load: '', at: (index: string) => read(`packed[${packed}u + ${index}]`) };
  const upper = top ? undefined : plan.lstm[l + 1];
  const upperRows = upper ? upper.inputs + upper.units : 0;
  let binding = 3;
  const bind = (name: string, type = vector) =>
    `@group(0) @binding(${binding++}) var<storage, read_write> ${name}: array<${type}>;`;
  const states = Array.from({ length: V }, (_, v) => ({
    name: `s${v}`,
    at: (row: string) => `state[${row} * ${W}u + mine + ${v}u]`,
  }));
  const sums = `${repeat(U, (u) => `let w${u} = ${weights.at(`k * ${H}u + unit${u}`)};`)}
      ${each(
        (u, v) => `i${u}${v} = fma(vec4f(w${u}.x), s${v}, i${u}${v}); f${u}${v} = fma(vec4f(w${u}.y), s${v}, f${u}${v});
      g${u}${v} = fma(vec4f(w${u}.z), s${v}, g${u}${v}); o${u}${v} = fma(vec4f(w${u}.w), s${v}, o${u}${v});`,
      )}`;
  return `${directives(half, cut)}${CHUNK}
@group(0) @binding(1) var<storage, read> packed: array<${vector}>;
@group(0) @binding(2) var<storage, read_write> inputs: array<${vector}>;
${top ? bind('head', 'vec4f') : bind('above')}
${keep ? `${bind('gates')}\n${bind('cells')}` : ''}
var<workgroup> state: array<${vector}, ${K * W}>;
${weights.memory}
${ACTIVATIONS}
@compute @workgroup_size(${threads})
fn main(${parameters}) {
  ${own}
  ${weights.load}
  ${each((u, v) => `var cell${u}${v} = vec4f(0); var hidden${u}${v} = vec4f(0);`)}
  ${each((u, v) => `state[(${I}u + unit${u}) * ${W}u + mine + ${v}u] = ${vector}(0);`)}
  for (var t = 0u; t < ${plan.steps}u; t++) {
    for (var x = thread; x < ${I * W}u; x += ${threads}u) {
      state[x] = inputs[(t * quarter + first + x % ${W}u) * ${K}u + x / ${W}u];
    }
    ${keep ? each((u, v) => `inputs[(t * quarter + first + mine + ${v}u) * ${K}u + ${I}u + unit${u}] = ${write(`hidden${u}${v}`)};`) : ''}
    workgroupBarrier();
    ${repeat(U, (u) => `let bias${u} = ${weights.at(`${K * H}u + unit${u}`)};`)}
    ${each((u, v) => `var i${u}${v} = vec4f(bias${u}.x); var f${u}${v} = vec4f(bias${u}.y); var g${u}${v} = vec4f(bias${u}.z); var o${u}${v} = vec4f(bias${u}.w);`)}
    ${overRows(cut, half, K, states, sums)}
    ${each((u, v) => {
      const own = `${u}${v}`;
      return `i${own} = sigmoid(i${own}); f${own} = sigmoid(f${own}); g${own} = hyperbolic(g${own}); o${own} = sigmoid(o${own});
    cell${own} = fma(f${own}, cell${own}, i${own} * g${own});
    hidden${own} = o${own} * hyperbolic(cell${own});`;
    })}
    workgroupBarrier();
    ${each(
      (u, v) => `{
      state[(${I}u + unit${u}) * ${W}u + mine + ${v}u] = ${write(`hidden${u}${v}`)};
      let at = t * quarter + first + mine + ${v}u;
      ${keep ? GATES.map((gate, q) => `gates[(at * 4u + ${q}u) * ${H}u + unit${u}] = ${write(`${gate}${u}${v}`)};`).join(' ') : ''}
      ${keep ? `cells[at * ${H}u + unit${u}] = ${write(`cell${u}${v}`)};` : ''}
      ${top ? '' : `above[at * ${upperRows}u + unit${u}] = ${write(`hidden${u}${v}`)};`}
    }`,
    )}
  }
  ${top ? each((u, v) => `head[(first + mine + ${v}u) * ${plan.headRows}u + unit${u}] = hidden${u}${v};`) : ''}
}`;
}
