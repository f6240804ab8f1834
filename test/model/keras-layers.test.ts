import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NetworkShape } from '../../src/kernel/index.ts';
import { readKerasConfig } from '../../src/model/keras-layers.ts';
import { functional, layersOf, sequential, type TestLayer } from './keras-files.ts';

const shape: NetworkShape = {
  windowLength: 60,
  features: 2,
  lstm: [8, 6],
  dropout: 0.2,
  dense: [
    { units: 4, activation: 'relu' },
    { units: 1, activation: 'linear' },
  ],
};
const { layers } = layersOf(shape, 1);
const [INPUT, LOWER, UPPER, DROP, HIDDEN, OUTPUT] = layers.map((_, i) => i);

const read = (model: unknown) =>
  readKerasConfig(model, (what) => {
    throw new Error(what);
  });

/** The chain with one layer's configuration changed. */
const changed = (index: number, config: Record<string, unknown>): TestLayer[] =>
  layers.map((layer, i) => (i === index ? { ...layer, config: { ...layer.config, ...config } } : layer));

/** The chain with a layer put in. */
const inserted = (index: number, className: string, config: Record<string, unknown> = {}): TestLayer[] =>
  layers.toSpliced(index, 0, { className, config: { name: 'extra', ...config } });

interface FunctionalJson {
  config: {
    layers: { name: string; inbound_nodes: unknown[] }[];
    output_layers: unknown[];
  };
}

/** The functional model, changed by hand. */
function rewired(change: (model: FunctionalJson['config']) => void): unknown {
  const model = structuredClone(functional(layers)) as unknown as FunctionalJson;
  change(model.config);
  return model;
}

describe('readKerasConfig', () => {
  it('reads a Sequential and a Functional chain alike', () => {
    assert.deepEqual(read(sequential(layers)).shape, shape);
    assert.deepEqual(read(functional(layers)), read(sequential(layers)));
    assert.deepEqual(
      read(sequential(layers)).layers.map(({ kind, index, name }) => [kind, index, name]),
      [
        ['lstm', 0, 'memory_0'],
        ['lstm', 1, 'memory_1'],
        ['dense', 0, 'head_0'],
        ['dense', 1, 'head_1'],
      ],
    );
  });

  it('reads a Functional chain whatever the order in which its layers are listed', () => {
    assert.deepEqual(read(rewired((model) => model.layers.reverse())), read(functional(layers)));
  });

  it('reads the words of every version', () => {
    const call = { class_name: '__keras_tensor__', config: { keras_history: ['input', 0, 0] } };
    const accepted: unknown[] = [
      sequential(changed(INPUT, { batch_input_shape: undefined, batch_shape: [32, 60, 2] })),
      sequential(changed(LOWER, { batch_input_shape: [null, 60, 2] }).slice(1)),
      sequential(changed(HIDDEN, { activation: { class_name: 'function', config: 'relu' } })),
      sequential(changed(OUTPUT, { activation: null })),
      sequential(changed(LOWER, { dtype: { class_name: 'DTypePolicy', config: { name: 'float32' } } })),
      sequential(changed(LOWER, { dropout: 0.1, recurrent_dropout: 0.3, unroll: true, time_major: false })),
      sequential(inserted(HIDDEN, 'Flatten')),
      sequential(inserted(LOWER, 'Identity')),
      sequential(inserted(OUTPUT, 'Activation', { activation: 'linear' })),
      sequential(inserted(UPPER, 'Dropout', { rate: 0.5 })),
      sequential(inserted(OUTPUT, 'Dropout', { rate: 0.5 })),
      rewired((model) => {
        model.layers[LOWER].inbound_nodes = [{ args: [call], kwargs: { mask: null, training: false } }];
        model.output_layers = ['head_1', 0, 0];
      }),
      rewired((model) => {
        model.layers[LOWER].inbound_nodes = [['input', 0, 0, {}]];
      }),
    ];
    for (const model of accepted) assert.deepEqual(read(model).shape, shape, JSON.stringify(model));
  });

  it('takes an Activation after a Dense layer as its own', () => {
    const { dense } = read(
      sequential([...layers, { className: 'Activation', config: { name: 'a', activation: 'relu' } }]),
    ).shape;
    assert.deepEqual(dense.at(-1), { units: 1, activation: 'relu' });
  });

  const refusals: [string, unknown, RegExp][] = [
    ['no object', [], /not that of a Keras model/],
    ['no layers', { class_name: 'Sequential', config: {} }, /no layers/],
    ['no LSTM or Dense', sequential(layers.slice(0, 1)), /no LSTM/],
    ['a layer without a class', { class_name: 'Sequential', config: { layers: [{ config: {} }] } }, /without a class/],
    ['a subclassed model', { class_name: 'MyModel', config: { layers: [] } }, /'MyModel'/],
    ['a nested model', sequential(inserted(HIDDEN, 'Sequential')), /'extra' \(Sequential\)/],
    ['a GRU', sequential(inserted(LOWER, 'GRU', { units: 4 })), /'extra' \(GRU\): this class of layer/],
    ['a Bidirectional', sequential(inserted(LOWER, 'Bidirectional')), /Bidirectional/],
    ['a Normalization', sequential(inserted(LOWER, 'Normalization')), /Normalization/],
    [
      'a custom class',
      {
        class_name: 'Sequential',
        config: { layers: [{ class_name: 'Dense', registered_name: 'mine>Dense', config: { name: 'd' } }] },
      },
      /custom class 'mine>Dense'/,
    ],
    [
      'another activation',
      sequential(changed(UPPER, { activation: 'relu' })),
      /'memory_1' \(LSTM\): the activation 'relu'/,
    ],
    ['another gate', sequential(changed(UPPER, { recurrent_activation: 'hard_sigmoid' })), /'hard_sigmoid'/],
    [
      'a softmax',
      sequential(changed(OUTPUT, { activation: 'softmax' })),
      /'head_1' \(Dense\): the activation 'softmax'/,
    ],
    ['backwards', sequential(changed(LOWER, { go_backwards: true })), /go_backwards=true/],
    ['stateful', sequential(changed(LOWER, { stateful: true })), /stateful=true/],
    ['states returned', sequential(changed(UPPER, { return_state: true })), /return_state=true/],
    ['half precision', sequential(changed(LOWER, { dtype: { config: { name: 'mixed_float16' } } })), /mixed_float16/],
    [
      'a sequence read as a vector',
      sequential(changed(UPPER, { return_sequences: true })),
      /Dense layer over a sequence/,
    ],
    ['an LSTM over a vector', sequential(changed(LOWER, { return_sequences: false })), /not a sequence/],
    ['a sequence flattened', sequential(inserted(LOWER, 'Flatten')), /flattening a sequence/],
    [
      'an activation over a sequence',
      sequential(inserted(UPPER, 'Activation', { activation: 'relu' })),
      /but after a Dense/,
    ],
    [
      'a sequence as the answer',
      sequential(changed(UPPER, { return_sequences: true }).slice(0, DROP)),
      /returns a sequence/,
    ],
    ['no Dense', sequential(layers.slice(0, HIDDEN)), /no Dense/],
    ['an open window', sequential(changed(INPUT, { batch_input_shape: [null, null, 2] })), /\[batch, any, 2\]/],
    [
      'an input that is no sequence',
      sequential(changed(INPUT, { batch_input_shape: [null, 2] })),
      /not \[batch, steps, features\]/,
    ],
    ['no input', sequential(layers.slice(1)), /no input shape/],
    ['too many units', sequential(changed(UPPER, { units: 257 })), /257 units/],
    ['no units', sequential(changed(UPPER, { units: undefined })), /undefined units/],
    [
      'a branch',
      rewired((model) => (model.layers[UPPER].inbound_nodes = [[['input', 0, 0, {}]]])),
      /'input' feeds more than one/,
    ],
    [
      'two inputs to a layer',
      rewired(
        (model) =>
          (model.layers[HIDDEN].inbound_nodes = [
            [
              ['drop', 0, 0, {}],
              ['input', 0, 0, {}],
            ],
          ]),
      ),
      /has 2 inputs/,
    ],
    [
      'a shared layer',
      rewired((model) => (model.layers[HIDDEN].inbound_nodes = [[['drop', 0, 0, {}]], [['input', 0, 0, {}]]])),
      /applied 2 times/,
    ],
    [
      'an argument',
      rewired((model) => (model.layers[DROP].inbound_nodes = [[['memory_1', 0, 0, { training: true }]]])),
      /'drop' is called with 'training'/,
    ],
    ['a circle', rewired((model) => (model.layers[LOWER].inbound_nodes = [[['head_1', 0, 0, {}]]])), /one chain/],
    ['an inner output', rewired((model) => (model.output_layers = [['head_0', 0, 0]])), /head_0/],
    ['two outputs', rewired((model) => model.output_layers.push(['head_0', 0, 0])), /head_1, head_0/],
  ];
  for (const [name, model, what] of refusals) {
    it(`refuses ${name}`, () => assert.throws(() => read(model), what));
  }
});
