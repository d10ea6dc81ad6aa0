// Vectors of sixteen numbers, which a compiler lays in as many registers as the CPU needs, and functions of them.
#ifndef CKERNELS_VECTORS_H
#define CKERNELS_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { CK_LANES = 16 };
typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

// Vectors are passed by value between inlined functions only, where their registers do not matter.
#pragma clang diagnostic ignored "-Wpsabi"

INLINE void load(const float *from, floats *to) { memcpy(to, from, sizeof *to); }
INLINE void store(const floats *from, float *to) { memcpy(to, from, sizeof *from); }
INLINE floats splat(float x) { return (floats){0} + x; }

INLINE floats select(ints mask, floats yes, floats no) { return (floats)((mask & (ints)yes) | (~mask & (ints)no)); }

// eˣ within 2 ulp for x ≤ 88, and 0 for x < -87: the range is reduced to ±ln 2 / 2, the rest is a polynomial
// (Cephes, Moshier, 1989).
INLINE floats exp_of(floats x) {
    ints known = x >= -87.0f;
    floats bounded = __builtin_elementwise_min(__builtin_elementwise_max(x, splat(-87.0f)), splat(88.0f));
    floats n = bounded * 1.44269504f + 12582912.0f; // adding 1.5 · 2²³ rounds to a whole number in the low bits
    ints exponent = (ints)n << 23;
    n -= 12582912.0f;
    floats r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    floats p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (floats)(((ints)p + exponent) & known);
}

INLINE floats tanh_of(floats x) { return 1.0f - 2.0f / (exp_of(2.0f * x) + 1.0f); }

#endif
