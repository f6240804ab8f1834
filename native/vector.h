/*
 * The vector: VW float32 lanes, VW a compile-time parameter. Everything that depends on the instruction set is here.
 *
 * Sums of products are written with multiply_add so that every build of one instruction set rounds in the same places
 * whatever the compiler's mood (the build turns contraction off); the baseline x86-64 build has no fused instruction
 * and rounds twice.
 *
 * Errors of the functions, held by test/kernel/native-functions.test.ts over numbers of every size: sigmoid at most
 * 5 ulp, down to the number it is held at, and tanh at most 6 (the largest seen in any build: 3.5 and 4.9).
 */
#ifndef BARCAST_VECTOR_H
#define BARCAST_VECTOR_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef VW
#error "VW, the floats in a vector, must be 4, 8 or 16"
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(4 * VW), may_alias));
typedef int32_t vector_int __attribute__((vector_size(4 * VW), may_alias));

INLINE vector load(const float *p) { return *(const vector *)p; }
INLINE void store(float *p, vector x) { *(vector *)p = x; }

INLINE vector splat(float x) {
#if VW == 16
  return (vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif VW == 8
  return (vector){x, x, x, x, x, x, x, x};
#else
  return (vector){x, x, x, x};
#endif
}

/* a b + c */
INLINE vector multiply_add(vector a, vector b, vector c) {
#if VW == 16 && defined(__AVX512F__)
  return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif VW == 8 && defined(__FMA__)
  return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif VW == 4 && defined(__FMA__)
  return (vector)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif VW == 4 && defined(__aarch64__)
  return (vector)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/* x held within [low, high]; a NaN stays one */
INLINE vector clamp(vector x, float low, float high) {
#if VW == 16 && defined(__AVX512F__)
  return (vector)_mm512_max_ps((__m512)splat(low), _mm512_min_ps((__m512)splat(high), (__m512)x));
#elif VW == 8 && defined(__AVX__)
  return (vector)_mm256_max_ps((__m256)splat(low), _mm256_min_ps((__m256)splat(high), (__m256)x));
#elif VW == 4 && defined(__x86_64__)
  return (vector)_mm_max_ps((__m128)splat(low), _mm_min_ps((__m128)splat(high), (__m128)x));
#elif VW == 4 && defined(__aarch64__)
  return (vector)vmaxq_f32((float32x4_t)splat(low), vminq_f32((float32x4_t)splat(high), (float32x4_t)x));
#else
  vector_int over = x > high;
  x = (vector)((over & (vector_int)splat(high)) | (~over & (vector_int)x));
  vector_int under = x < low;
  return (vector)((under & (vector_int)splat(low)) | (~under & (vector_int)x));
#endif
}

/*
 * The functions work on `count` vectors, at most ABREAST, stage by stage: one evaluation is a chain of dependent
 * operations, and several side by side keep the processor from waiting (2.5% of an inference on Zen 3).
 */
enum { ABREAST = 4 };
#define EACH(i) _Pragma("GCC unroll 4") for (int i = 0; i < count; i++)

/*
 * 1 + e^-x, x held at |x| <= limit. e^-x = 2^n e^f with |f| <= ln(2) / 2 (Cody & Waite 1980), e^f by a minimax
 * polynomial of degree 5 (our own fit, relative error 1.1e-7).
 */
INLINE void one_plus_exponentials(const int count, const float limit, vector *x) {
  const vector shifter = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number in the low bits */
  vector shifted[ABREAST], f[ABREAST], p[ABREAST];
  EACH(i) x[i] = clamp(x[i], -limit, limit);
  EACH(i) shifted[i] = multiply_add(x[i], splat(-1.44269504f), shifter);
  EACH(i) p[i] = shifted[i] - shifter;
  /* -f = x + n ln 2, ln 2 in two parts; the polynomial's odd coefficients turn the sign */
  EACH(i) f[i] = multiply_add(p[i], splat(0.693359375f), x[i]);
  EACH(i) f[i] = multiply_add(p[i], splat(-2.12194440e-4f), f[i]);
  EACH(i) p[i] = multiply_add(splat(-0.008312501013278961f), f[i], splat(0.041890330612659454f));
  EACH(i) p[i] = multiply_add(p[i], f[i], splat(-0.16667115688323975f));
  EACH(i) p[i] = multiply_add(p[i], f[i], splat(0.499992311000824f));
  EACH(i) p[i] = multiply_add(p[i], f[i], splat(-1.0f));
  EACH(i) p[i] = multiply_add(p[i], f[i], splat(1.0f));
  EACH(i) x[i] = (vector)((vector_int)p[i] + ((vector_int)shifted[i] << 23)) + splat(1.0f);
}

/* tanh(x) = x P(x^2) / Q(x^2), a minimax fit of our own on |x| <= 9.02 (relative error 2.1e-8); beyond, it is +-1. */
INLINE void tanh_parts(const int count, vector *x, vector *q) {
  vector s[ABREAST], p[ABREAST];
  EACH(i) x[i] = clamp(x[i], -9.01f, 9.01f);
  EACH(i) s[i] = x[i] * x[i];
  EACH(i) p[i] = multiply_add(splat(1.3319073843831575e-08f), s[i], splat(2.0583482182701118e-05f));
  EACH(i) q[i] = multiply_add(splat(7.762020004520309e-07f), s[i], splat(0.0003283092810306698f));
  EACH(i) p[i] = multiply_add(p[i], s[i], splat(0.003494034521281719f));
  EACH(i) q[i] = multiply_add(q[i], s[i], splat(0.025871073827147484f));
  EACH(i) p[i] = multiply_add(p[i], s[i], splat(0.13379718363285065f));
  EACH(i) q[i] = multiply_add(q[i], s[i], splat(0.4671303331851959f));
  EACH(i) p[i] = multiply_add(p[i], s[i], splat(1.0f));
  EACH(i) q[i] = multiply_add(q[i], s[i], splat(1.0f));
  EACH(i) x[i] = x[i] * p[i];
}

/* 1 / (1 + e^-x), held at |x| <= 87, where e^87 is still finite. */
INLINE void sigmoids(const int count, vector *x) {
  one_plus_exponentials(count, 87.0f, x);
  EACH(i) x[i] = splat(1.0f) / x[i];
}

/*
 * s to sigmoid(s) and t to tanh(t) with one division for both, as the divider is what they would wait for:
 * 1 / d = q / (d q). The sigmoid is held at |s| <= 80, so that the product stays finite.
 */
INLINE void sigmoids_and_tangents(const int count, vector *s, vector *t) {
  vector q[ABREAST], r[ABREAST];
  one_plus_exponentials(count, 80.0f, s);
  tanh_parts(count, t, q);
  EACH(i) r[i] = splat(1.0f) / (s[i] * q[i]);
  EACH(i) t[i] = t[i] * (s[i] * r[i]);
  EACH(i) s[i] = q[i] * r[i];
}

/* Four lanes, for transposing in blocks of 4 x 4 at every width. */
typedef float quad __attribute__((vector_size(16), may_alias));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t quad_int __attribute__((vector_size(16)));
#define SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_int){i, j, k, l})
#endif

/* to[l * to_stride + r] = from[r * from_stride + l] for r, l in 0..3 */
INLINE void transpose4(const float *from, size_t from_stride, float *to, size_t to_stride) {
  quad a = *(const quad *)from, b = *(const quad *)(from + from_stride);
  quad c = *(const quad *)(from + 2 * from_stride), d = *(const quad *)(from + 3 * from_stride);
  quad ab = SHUFFLE4(a, b, 0, 4, 1, 5), AB = SHUFFLE4(a, b, 2, 6, 3, 7);
  quad cd = SHUFFLE4(c, d, 0, 4, 1, 5), CD = SHUFFLE4(c, d, 2, 6, 3, 7);
  *(quad *)to = SHUFFLE4(ab, cd, 0, 1, 4, 5);
  *(quad *)(to + to_stride) = SHUFFLE4(ab, cd, 2, 3, 6, 7);
  *(quad *)(to + 2 * to_stride) = SHUFFLE4(AB, CD, 0, 1, 4, 5);
  *(quad *)(to + 3 * to_stride) = SHUFFLE4(AB, CD, 2, 3, 6, 7);
}

#endif
