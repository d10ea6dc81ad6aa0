// Kernels that the operators of training call: declared apart, because C++ reads this and Swift does not.
#ifndef CKERNELS_TRAINING_H
#define CKERNELS_TRAINING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Causal attention over whole sequences that lie one after another, H a multiple of G heads of keys and values.
enum { CK_SEQUENCE_LIMIT = 512 }; // tokens of the longest sequence
typedef struct {
    const float *q, *k, *v;               // [N, H, K], [N, G, K]; K a multiple of 16
    int64_t q_stride, k_stride, v_stride; // numbers from one row to the next
    float *output;                        // [N, H, K]
    float *statistics;                    // [N, H]: the logarithm of the sum of e^score, which the gradient needs
    const float *gradient;                // [N, H, K] of the output; NULL: the function itself
    float *q_gradient;                    // [N, H, K]
    float *k_gradient, *v_gradient;       // [N, G, K]
    const int32_t *starts;                // [count + 1]: the first row of each sequence, and the end
    float *scratch;                       // the caller's own: two calls at once need two
    int32_t count, heads, groups, size;
    float scale;
} ck_sequence;
// Numbers that `scratch` must hold, and the pieces of work [begin, end) of count·G, of a `ck_sequence *`.
int64_t ck_sequence_scratch(const ck_sequence *sequence);
void ck_sequence_run(int64_t begin, int64_t end, void *sequence);

#ifdef __cplusplus
}
#endif

#endif
