// Numbers that lie in memory as float32 or in IEEE's 16 bits.
#ifndef CKERNELS_HALVES_H
#define CKERNELS_HALVES_H

#include "vectors.h"

#if defined(__x86_64__)
#define FOR_AVX2 __attribute__((target("avx2,fma,f16c")))
#define FOR_AVX512 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")))
#define PLAIN_HALVES IN_HALVES_BY_HAND
#else
#define PLAIN_HALVES IN_HALVES
#endif

enum { IN_WORDS, IN_HALVES, IN_HALVES_BY_HAND };

INLINE int64_t width_of(int form) { return CK_LANES * (form == IN_WORDS ? sizeof(float) : sizeof(uint16_t)); }

// Sixteen of them; by hand where no instruction widens halves: their exponent is 112 less than a float's.
INLINE floats numbers_at(const char *from, int form) {
    if (form == IN_WORDS) {
        floats words;
        memcpy(&words, from, sizeof words);
        return words;
    }
    if (form == IN_HALVES) {
        _Float16 halves __attribute__((vector_size(32)));
        memcpy(&halves, from, sizeof halves);
        return __builtin_convertvector(halves, floats);
    }
    uint16_t bits __attribute__((vector_size(32)));
    memcpy(&bits, from, sizeof bits);
    ints wide = __builtin_convertvector(bits, ints);
    floats size = (floats)((wide & 0x7fff) << 13) * 0x1p112f;
    return (floats)((ints)size | (wide & 0x8000) << 16);
}

// Sixteen numbers rounded to halves, to even at ties; what is too large becomes the largest that there is.
INLINE void store_halves(const floats *from, uint16_t *to) {
    floats x = *from;
    ints sign = (ints)x & (int32_t)0x80000000, isNaN = x != x;
    floats size = __builtin_elementwise_min((floats)((ints)x & 0x7fffffff), splat(65504.0f));
    ints bits = (ints)size, small = size < 0x1p-14f;
    // Adding a half rounds a small number to the steps of 2⁻²⁴ that small halves have.
    ints tiny = (ints)(size + 0.5f) - 0x3f000000, normal = (bits - (112 << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
    bits = (small & tiny) | (~small & normal);
    bits = (isNaN & 0x7e00) | (~isNaN & bits) | (sign >> 16 & 0x8000);
    uint16_t halves __attribute__((vector_size(32))) = __builtin_convertvector(bits, __typeof__(halves));
    memcpy(to, &halves, sizeof halves);
}

#endif
