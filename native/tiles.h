/*
 * The gates' sums in the tile registers of AMX (the build `amx`), at the precision of float32.
 *
 * The unit multiplies bfloat16 numbers, 8 bits of precision each, and adds in float32. So every float32 is split into
 * three of them, a = a1 + a2 + a3, exactly, each the next 8 bits; of the nine products of two such sums the six largest
 * are taken, a1 b1 + a2 b1 + a3 b1 + a2 b2 + a1 b2 + a1 b3, and what is left out is below 2^-21 of a b (Henry, Tang &
 * Heinecke, ARITH 2019). Six products on this unit take a third of the time of one in vectors. Numbers below 2^-126
 * count as zero. (The way back and the gradient stay in vectors: split in three, their operands no longer fit the
 * first-level cache, and tiles gained nothing there.)
 *
 * A "tile" is 16 rows of 64 bytes. The inner dimension stands in pairs, two bfloat16 in 32 bits:
 *
 *     C [16 rows, 16 lanes] float32  +=  A [16 rows, 16 pairs]  B [16 pairs, 16 lanes]
 *
 * An operand's blocks lie as [.., blocks of 16 pairs, 3 parts] tiles. An output's terms are added in one fixed order,
 * whatever shares its tile.
 */
#ifndef BARCAST_TILES_H
#define BARCAST_TILES_H

#include "barcast_kernel.h"
#include "vector.h"

#if defined(BARCAST_AMX)

/* Of one tile; pairs of the inner dimension in a block; parts of a float32. */
enum { TILE_ROWS = 16, TILE_BYTES = 1024, BLOCK_PAIRS = 16, PARTS = 3 };
enum { BLOCK_BYTES = PARTS * TILE_BYTES };

INLINE int blocks_of(int depth) { return (depth + 2 * BLOCK_PAIRS - 1) / (2 * BLOCK_PAIRS); }

/* Sets up the calling thread's tile registers, all 16 rows of 64 bytes; tiles_end gives them back. */
INLINE void tiles_begin(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config __attribute__((aligned(64))) = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    config.row_bytes[i] = 64;
    config.rows[i] = TILE_ROWS;
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}
INLINE void tiles_end(void) { __asm__ volatile("tilerelease" ::); }

/* The next 8 bits of 16 pairs (a, b), a's in the low half of 32 bits; what is left stays in a and b. */
INLINE __m512i take_part(vector *a, vector *b) {
  const __m512i high = _mm512_set1_epi32((int)0xffff0000);
  const __m512i x = (__m512i)*a, y = (__m512i)*b;
  *a = *a - (vector)_mm512_and_si512(x, high);
  *b = *b - (vector)_mm512_and_si512(y, high);
  return _mm512_ternarylogic_epi32(_mm512_srli_epi32(x, 16), y, high, 0xf8);
}

/* 16 pairs (a, b) to a row of each of three tiles. */
INLINE void split_pairs(vector a, vector b, char *row) {
#pragma GCC unroll 3
  for (int part = 0; part < PARTS; part++) _mm512_store_si512(row + part * TILE_BYTES, take_part(&a, &b));
}

/*
 * The eight registers: 0 to 3 the sums of two tiles of rows by two of lanes, 4 and 5 parts of A, 6 and 7 parts of B. The
 * instructions are written out, as the compiler's own do not say that they read memory.
 */
#define TILE_LOAD(tile, from, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(tile, to, stride) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"((size_t)(stride)) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
#define TILE_ADD_PRODUCT(sum, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sum ::)

/* An LSTM layer's weights as A, for each two tiles of rows, each tile its blocks; its bias, a row's in 16 lanes. */
typedef struct {
  char *data;
  float *bias;
  int groups, blocks;
} tile_pack;

/* Rows made at once: eight LSTM units of four gates. */
enum { TILE_GROUP = 2 * TILE_ROWS };

INLINE size_t tile_pack_bytes(const tile_pack *p) { return 2 * (size_t)p->groups * (size_t)p->blocks * BLOCK_BYTES; }

/* Bytes of an input slab, split. */
INLINE size_t split_bytes(int depth) { return (size_t)(BARCAST_TILE / VW) * (size_t)blocks_of(depth) * BLOCK_BYTES; }

/* The slab [depth, lanes] as B: for each 16 lanes its blocks. Rows 2 k and 2 k + 1 make pair k. */
INLINE void split_slab(const float *in, int depth, const int lanes, char *split) {
  const int blocks = blocks_of(depth);
  for (int pair = 0; pair < blocks * BLOCK_PAIRS; pair++) {
    const float *row = in + (size_t)(2 * pair) * (size_t)lanes;
    char *to = split + (size_t)(pair / BLOCK_PAIRS) * BLOCK_BYTES + (size_t)(pair % BLOCK_PAIRS) * 64;
#pragma GCC unroll 2
    for (int n = 0; n < lanes / VW; n++) {
      vector a = 2 * pair < depth ? load(row + n * VW) : splat(0.0f);
      vector b = 2 * pair + 1 < depth ? load(row + lanes + n * VW) : splat(0.0f);
      split_pairs(a, b, to + (size_t)n * (size_t)blocks * BLOCK_BYTES);
    }
  }
}

/* A product of two tiles of rows by `lanes` tiles of lanes under way; step by step, so that other work goes on beside it. */
typedef struct {
  const char *a, *b;         /* the present block of the first tile */
  size_t a_stride, b_stride; /* bytes to the second tile's */
  int blocks;                /* left, the present one included */
  int term;                  /* of the six products of parts, the next */
} tile_product;

enum { TERMS = 6 };

/* The same number in all lanes of a row: [2 tiles of rows, 16]. */
INLINE void sums_fill(const int lanes, const float *bias) {
  TILE_LOAD(0, bias, 64);
  if (lanes == 2) TILE_LOAD(1, bias, 64);
  TILE_LOAD(2, bias + TILE_ROWS * VW, 64);
  if (lanes == 2) TILE_LOAD(3, bias + TILE_ROWS * VW, 64);
}

INLINE void sums_store(const int lanes, float *to, size_t row_bytes) {
  char *p = (char *)to;
  TILE_STORE(0, p, row_bytes);
  if (lanes == 2) TILE_STORE(1, p + 64, row_bytes);
  TILE_STORE(2, p + TILE_ROWS * row_bytes, row_bytes);
  if (lanes == 2) TILE_STORE(3, p + TILE_ROWS * row_bytes + 64, row_bytes);
}

/* The next term of the product, if one is left. */
INLINE void product_step(tile_product *p, const int lanes) {
  static const int16_t a_part[TERMS] = {0, TILE_BYTES, 2 * TILE_BYTES, TILE_BYTES, 0, 0};
  static const int16_t b_part[TERMS] = {0, 0, 0, TILE_BYTES, TILE_BYTES, 2 * TILE_BYTES};
  if (p->blocks == 0) return;
  const char *a = p->a + a_part[p->term], *b = p->b + b_part[p->term];
  if (p->term < TERMS - 1) {
    TILE_LOAD(4, a, 64);
    TILE_LOAD(5, a + p->a_stride, 64);
  }
  if (p->term == 0 || p->term == 3 || p->term == 5) {
    TILE_LOAD(6, b, 64);
    if (lanes == 2) TILE_LOAD(7, b + p->b_stride, 64);
  }
  TILE_ADD_PRODUCT(0, 4, 6);
  if (lanes == 2) TILE_ADD_PRODUCT(1, 4, 7);
  TILE_ADD_PRODUCT(2, 5, 6);
  if (lanes == 2) TILE_ADD_PRODUCT(3, 5, 7);
  if (++p->term < TERMS) return;
  p->term = 0;
  p->a += BLOCK_BYTES;
  p->b += BLOCK_BYTES;
  p->blocks--;
}

/* Terms to take at each of `times` occasions so that the product is done after the last. */
INLINE int product_terms(const tile_product *p, int times) { return (p->blocks * TERMS + times - 1) / times; }

INLINE void product_steps(tile_product *p, int terms, const int lanes) {
  for (int i = 0; i < terms; i++) product_step(p, lanes);
}

/* The product of a group's rows with a split slab begins, with the bias as its sums. */
INLINE tile_product product_begin(const tile_pack *p, int group, const int lanes, const char *split) {
  const size_t stride = (size_t)p->blocks * BLOCK_BYTES;
  sums_fill(lanes / VW, p->bias + (size_t)group * TILE_GROUP * VW);
  return (tile_product){p->data + 2 * (size_t)group * stride, split, stride, stride, p->blocks, 0};
}

/* Ends it: out [TILE_GROUP, lanes]. */
INLINE void product_end(tile_product *p, const int lanes, float *out) {
  while (p->blocks > 0) product_step(p, lanes / VW);
  sums_store(lanes / VW, out, (size_t)lanes * sizeof(float));
}

#else

/* What goes on beside a product in tiles has none beside it in vectors. */
typedef struct {
  char nothing;
} tile_product;

INLINE void tiles_begin(void) {}
INLINE void tiles_end(void) {}
INLINE int product_terms(const tile_product *p, int times) {
  (void)p;
  (void)times;
  return 0;
}
INLINE void product_steps(tile_product *p, int terms, const int lanes) {
  (void)p;
  (void)terms;
  (void)lanes;
}

#endif

#endif
