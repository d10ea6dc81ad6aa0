// Kernels of our own, on plain memory. None of them starts a thread: the caller splits the work.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
// What element i gets depends on the key and on i alone, never on how the work is split.
typedef struct {
    uint32_t key[2];
    uint32_t counter[2]; // the upper half of the 128-bit counter; the lower half is the element's block
} ck_random_key;

// One job for many elements. The work is split in groups of CK_GROUP elements; the last may be partial.
enum { CK_GROUP = 32 };

typedef struct {
    ck_random_key key;
    void *output;
    int64_t count;
    double first;  // dropout: the probability of 0; uniform: the lowest; normal: the mean
    double second; // uniform: the highest (never reached in 64 bits); normal: the standard deviation
    int32_t wide;  // 1: double, 0: float
} ck_fill;

// Each takes groups [begin, end) and a `ck_fill *`, in the form that a parallel loop calls.
void ck_dropout_mask(int64_t begin, int64_t end, void *fill);
void ck_uniform(int64_t begin, int64_t end, void *fill);
void ck_normal(int64_t begin, int64_t end, void *fill);

// A random order of 0 ..< count (Fisher and Yates).
void ck_permutation(ck_random_key key, int64_t *output, int64_t count);

// One block of the generator, to hold against the published vectors.
void ck_philox_block(const uint32_t key[2], const uint32_t counter[4], uint32_t output[4]);

#ifdef __cplusplus
}
#endif

#endif
