// Which instructions a kernel uses.
#ifndef CKERNELS_CPU_H
#define CKERNELS_CPU_H

#include <stdint.h>

// What a caller allows: fewer are used where the CPU has not so many.
enum {
    CK_CPU_PLAIN = 0,
    CK_CPU_AVX2 = 1,
    CK_CPU_AVX512 = 2,
};

static inline int32_t ck_cpu(int32_t allowed) {
#if defined(__x86_64__)
    if (allowed >= CK_CPU_AVX512 && __builtin_cpu_supports("x86-64-v4")) return CK_CPU_AVX512;
    if (allowed >= CK_CPU_AVX2 && __builtin_cpu_supports("x86-64-v3")) return CK_CPU_AVX2;
#endif
    (void)allowed;
    return CK_CPU_PLAIN;
}

#endif
