/** The dispatches of a call, planned as data: what runs in which order over which buffers. `network.ts` runs them. */
import type { Loss, OptimizerSettings } from '../kernel.ts';
import type { ChooseCut } from './cut.ts';
import type { NetworkPlan } from './plan.ts';
import * as backward from './shaders-backward.ts';
import { lstmForward } from './shaders-forward.ts';
import * as head from './shaders-head.ts';
import { chooseLossScale } from './shaders-scale.ts';
import * as update from './shaders-update.ts';

export interface Step {
  readonly label: string;
  readonly code: string;
  /** Names of the buffers, in the order of the bindings. */
  readonly buffers: readonly string[];
  /** Workgroups of a chunk with room for n sequences. */
  readonly grid: (n: number) => readonly [number, number?, number?];
}

const over = (items: number, each: number) => Math.ceil(items / each);

export const packStep = (plan: NetworkPlan): Step => ({
  label: 'pack',
  code: head.packWeights(plan),
  buffers: ['weights', 'packed'],
  grid: () => [over(head.packThreads(plan), 64)],
});

/** Windows to the head's outputs; with `training` everything that the way back needs is kept. */
function forwardSteps(plan: NetworkPlan, cutOf: ChooseCut, training: boolean): Step[] {
  const top = plan.lstm.length - 1;
  return [
    {
      label: 'gather',
      code: head.gather(plan),
      buffers: ['chunk', 'matrix', 'starts', 'scales', 'inputs0', 'flags'],
      grid: (n) => [over((n / 4) * plan.features, 64), plan.steps],
    },
    ...plan.lstm.map((layer, l): Step => {
      const cut = cutOf(layer, 'forward');
      return {
        label: `lstm ${l} forward`,
        code: lstmForward(plan, l, cut, training),
        buffers: [
          'chunk',
          'packed',
          `inputs${l}`,
          l === top ? 'head' : `inputs${l + 1}`,
          ...(training ? [`gates${l}`, `cells${l}`] : []),
        ],
        grid: (n) => [n / (cut.sequences * cut.groups)],
      };
    }),
    ...(training
      ? [
          {
            label: 'dropout',
            code: head.drop(plan),
            buffers: ['chunk', 'head', 'mask'],
            grid: (n: number) => [over(plan.lstm[top].units, 32), over(n / 4, 8)] as const,
          },
        ]
      : []),
    ...plan.dense.map(
      ({ units }, d): Step => ({
        label: `dense ${d} forward`,
        code: head.denseForward(plan, d),
        buffers: ['chunk', 'weights', 'head'],
        grid: (n) => [over(units, 32), over(n / 4, 2)],
      }),
    ),
  ];
}

export const inferenceSteps = (plan: NetworkPlan, cutOf: ChooseCut): Step[] => [
  ...forwardSteps(plan, cutOf, false),
  {
    label: 'collect',
    code: head.collect(plan),
    buffers: ['chunk', 'head', 'outputs'],
    grid: (n) => [over(n, 64), plan.outputs],
  },
];

/** A chunk's sequences added to the fixed-point sums. */
export const gradientSteps = (plan: NetworkPlan, cutOf: ChooseCut, loss: Loss['kind']): Step[] => {
  const top = plan.lstm.length - 1;
  const tiles = (n: number) => n / 32;
  const scale = plan.half ? ['lossScale'] : [];
  const anew = plan.half ? ['backoff', 'flags'] : [];
  return [
    ...forwardSteps(plan, cutOf, true),
    {
      label: `loss ${loss}`,
      code: head.lossGradient(plan, loss),
      buffers: ['chunk', 'head', 'headGradient', 'goals', 'tiles'],
      grid: (n) => [tiles(n)],
    },
    ...plan.dense
      .map(({ inputs, units }, d): Step[] => [
        {
          label: `dense ${d} gradient`,
          code: head.denseGradient(plan, d),
          buffers: ['head', 'headGradient', 'tiles'],
          grid: (n) => [over(units, 32), inputs + 1, tiles(n)],
        },
        {
          label: `dense ${d} backward`,
          code: head.denseBackward(plan, d),
          buffers: ['chunk', 'weights', 'headGradient', ...(d > 0 && plan.dense[d - 1].relu ? ['head'] : [])],
          grid: (n) => [over(inputs, 32), over(n / 4, 2)],
        },
      ])
      .reverse()
      .flat(),
    ...(plan.half
      ? [
          {
            label: 'loss scale',
            code: chooseLossScale(plan),
            buffers: ['chunk', 'headGradient', 'mask', 'backoff', 'lossScale'],
            grid: (n: number) => [tiles(n)] as const,
          },
        ]
      : []),
    ...plan.lstm
      .map((layer, l): Step[] => {
        const cut = cutOf(layer, 'backward');
        const { inputs, units } = layer;
        return [
          {
            label: `lstm ${l} backward`,
            code: backward.lstmBackward(plan, l, cut),
            buffers: [
              'chunk',
              'packed',
              `gates${l}`,
              `cells${l}`,
              ...(l === top ? ['headGradient', 'mask', ...scale] : [`below${l + 1}`]),
              ...anew,
            ],
            grid: (n) => [n / (cut.sequences * cut.groups)],
          },
          ...(l > 0
            ? [
                {
                  label: `lstm ${l} below`,
                  code: backward.lstmBelow(plan, l),
                  buffers: ['chunk', 'packed', `gates${l}`, `below${l}`, ...anew],
                  grid: (n: number) => [over(inputs, 64), n / 4, plan.steps] as const,
                },
              ]
            : []),
          {
            label: `lstm ${l} gradient`,
            code: backward.lstmGradient(plan, l),
            buffers: ['chunk', `inputs${l}`, `gates${l}`, 'tiles', ...scale],
            grid: (n) => [over(units, 64), over(inputs + units + 1, backward.GRADIENT_ROWS), tiles(n)],
          },
        ];
      })
      .reverse()
      .flat(),
    {
      label: 'add tiles',
      code: update.addTiles(plan),
      buffers: ['count', 'tiles', 'sums', 'flags'],
      grid: () => [over(plan.parameters + 1, 64)],
    },
  ];
};

/** Sums to new weights, kept only where nothing was wrong. */
export const updateSteps = (plan: NetworkPlan, kind: NonNullable<OptimizerSettings['kind']>): Step[] => [
  { label: 'norm', code: update.norm(plan), buffers: ['settings', 'sums', 'norm'], grid: () => [1] },
  {
    label: kind,
    code: kind === 'adam' ? update.adam(plan) : update.tensorwise(plan, kind),
    buffers: ['settings', 'sums', 'norm', 'weights', 'moments', 'newWeights', 'newMoments', 'flags'],
    grid: () => [kind === 'adam' ? over(plan.parameters, 64) : plan.tensors.length],
  },
  {
    label: 'commit',
    code: update.commit(plan),
    buffers: ['flags', 'newWeights', 'newMoments', 'weights', 'moments'],
    grid: () => [over(2 * plan.parameters, 64)],
  },
];
