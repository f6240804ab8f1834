/*
 * barcast's native LSTM kernel: the whole of its C interface.
 *
 * Glossary: B sequences in a batch, T time steps, F features, H hidden units, O outputs, P parameters.
 * Weights lie in one flat float32 array as src/kernel/parameters.ts says; windows, losses, dropout, fixed-point
 * gradients and the optimiser are those of src/kernel/kernel.ts.
 *
 * Every function that can fail answers a barcast_status and leaves the network as it was. The length of an array
 * cannot be seen from here: the caller vouches for the lengths that are stated, everything else is checked.
 * A network computes one call at a time, and the networks of a kernel share its threads job by job: calls from several
 * threads wait for each other. Destroy nothing that another thread still uses.
 */
#ifndef BARCAST_KERNEL_H
#define BARCAST_KERNEL_H

#include <stdint.h>

#if defined(BARCAST_BUILDING)
#define BARCAST_API __attribute__((visibility("default")))
#else
#define BARCAST_API
#endif

/* Raised with every change of this file that an older caller would not survive. */
#define BARCAST_ABI 3

enum { BARCAST_MAX_LSTM = 3, BARCAST_MAX_DENSE = 4, BARCAST_MAX_UNITS = 256, BARCAST_MAX_FEATURES = 32,
       BARCAST_MAX_STEPS = 512, BARCAST_TILE = 32, BARCAST_MAX_THREADS = 256 };

typedef enum {
  BARCAST_OK = 0,
  BARCAST_SHAPE = 1,      /* a shape, count or position out of range, or a missing array */
  BARCAST_NOT_FINITE = 2, /* a window holds, or scales to, NaN or an infinity */
  BARCAST_DIVERGED = 3,   /* a gradient, loss or weight that is not finite or beyond the fixed-point range */
  BARCAST_MEMORY = 4,     /* no memory */
  BARCAST_SETTING = 5     /* a loss or optimiser setting that means nothing */
} barcast_status;

typedef enum { BARCAST_LINEAR = 0, BARCAST_RELU = 1 } barcast_activation;
typedef enum { BARCAST_MSE = 0, BARCAST_HUBER = 1, BARCAST_PINBALL = 2 } barcast_loss_kind;

/* The instruction sets there are builds for, worst first. */
typedef enum { BARCAST_BASELINE = 0, BARCAST_AVX2 = 1, BARCAST_AVX512 = 2, BARCAST_AVX512_AMX = 3 } barcast_instruction_set;

typedef struct {
  double dropout;               /* 0 to less than 1 */
  int32_t window_length;        /* T */
  int32_t features;             /* F */
  int32_t lstm_layers;
  int32_t lstm_units[BARCAST_MAX_LSTM];
  int32_t dense_layers;
  int32_t dense_units[BARCAST_MAX_DENSE];
  int32_t dense_activations[BARCAST_MAX_DENSE];
} barcast_shape;

typedef struct {
  const float *matrix;          /* [rows, columns] */
  const int32_t *starts;        /* [sequences] */
  const float *shift;           /* [F], or [sequences, F] with scale_stride F */
  const float *gain;            /* likewise */
  int64_t rows;
  int64_t sequences;            /* B */
  int32_t scale_stride;         /* 0 or F */
  int32_t columns;              /* features that the matrix holds, the first of F; the others are 1 in every row */
} barcast_windows;

typedef struct {
  const float *targets;         /* [B, O] */
  const float *levels;          /* [O] for the pinball loss, else unused */
  double delta;                 /* for the Huber loss, else unused */
  int64_t first_sequence;       /* place of the first sequence in the whole step's batch, a multiple of 32 */
  int32_t loss;                 /* barcast_loss_kind */
  uint32_t dropout_seed;
  uint32_t step;
} barcast_goal;

typedef enum { BARCAST_ADAM = 0, BARCAST_LAMB = 1, BARCAST_LARS = 2 } barcast_optimizer_kind;

typedef struct {
  double learning_rate, beta1, beta2, epsilon, weight_decay, clip_norm;
  int32_t kind; /* barcast_optimizer_kind */
} barcast_optimizer;

typedef struct barcast_kernel barcast_kernel;
typedef struct barcast_network barcast_network;

BARCAST_API int32_t barcast_abi(void);
/* What this library was built for, and the best that this machine's processor and system can run. */
BARCAST_API int32_t barcast_built_for(void);
BARCAST_API int32_t barcast_machine_runs(void);

/*
 * A pool of `threads` threads, the caller's included (1 to BARCAST_MAX_THREADS); NULL when there is no memory or the
 * machine does not run this build.
 */
BARCAST_API barcast_kernel *barcast_kernel_create(int32_t threads);
/* After its networks are destroyed. */
BARCAST_API void barcast_kernel_destroy(barcast_kernel *kernel);

/* weights [P], copied; NULL with *status set when refused. */
BARCAST_API barcast_network *barcast_network_create(barcast_kernel *kernel, const barcast_shape *shape,
                                                    const float *weights, int64_t parameters, int32_t *status);
BARCAST_API void barcast_network_destroy(barcast_network *network);
BARCAST_API int64_t barcast_network_parameters(const barcast_network *network);

/* [P] each. */
BARCAST_API void barcast_network_read_weights(barcast_network *network, float *weights);
BARCAST_API void barcast_network_write_weights(barcast_network *network, const float *weights);
BARCAST_API int64_t barcast_network_read_optimizer(barcast_network *network, float *m, float *v);
BARCAST_API void barcast_network_write_optimizer(barcast_network *network, const float *m, const float *v,
                                                 int64_t updates);

/* outputs [B, O], without dropout */
BARCAST_API int32_t barcast_network_forward(barcast_network *network, const barcast_windows *windows, float *outputs);
/* sums [P + 1]: fixed-point sums over the sequences, the loss last */
BARCAST_API int32_t barcast_network_gradient(barcast_network *network, const barcast_windows *windows,
                                             const barcast_goal *goal, int64_t *sums);
/* One update from sums [P + 1] over `sequences` sequences */
BARCAST_API int32_t barcast_network_update(barcast_network *network, const int64_t *sums, int64_t sequences,
                                           const barcast_optimizer *optimizer);
/* Both; *loss is the batch's mean loss */
BARCAST_API int32_t barcast_network_train(barcast_network *network, const barcast_windows *windows,
                                          const barcast_goal *goal, const barcast_optimizer *optimizer, double *loss);

/* The rate of independent fused (baseline x86-64: separate) multiply-adds in registers, GFLOP/s over all threads. */
BARCAST_API double barcast_measure_fma_peak(int32_t threads);
/*
 * The kernel's own functions of n numbers, for tests of their error: sigmoid (0), and tanh (1) and sigmoid (2) as they
 * are made together.
 */
BARCAST_API void barcast_apply(int32_t function, const float *input, float *output, int64_t n);

#endif
