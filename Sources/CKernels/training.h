// Kernels that the operators of training call: declared apart, because C++ reads this and Swift does not.
#ifndef CKERNELS_TRAINING_H
#define CKERNELS_TRAINING_H

#include "cpu.h"

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
    int64_t q_gradient_stride, k_gradient_stride; // the latter of keys and of values
    const int32_t *starts;                // [count + 1]: the first row of each sequence, and the end
    float *scratch;                       // the caller's own: two calls at once need two
    int32_t count, heads, groups, size;
    float scale;
    int32_t cpu;                          // what of the CPU it may use
} ck_sequence;
// Numbers that `scratch` must hold, and the pieces of work [begin, end) of count·G, of a `ck_sequence *`.
int64_t ck_sequence_scratch(const ck_sequence *sequence);
void ck_sequence_run(int64_t begin, int64_t end, void *sequence);

// y = act(norm(x)·Wᵀ + b) + residual and its gradient: M rows, K inputs, N outputs, all in row-major order.
enum { CK_DENSE_NONE, CK_DENSE_RELU, CK_DENSE_GELU, CK_DENSE_GELU_TANH };
enum { CK_DENSE_PREPARE, CK_DENSE_MULTIPLY, CK_DENSE_PREPARE_GRADIENT, CK_DENSE_MULTIPLY_GRADIENT };
enum { CK_DENSE_WIDTH = 32 }; // to a multiple of which the packed dimensions below are rounded up
typedef struct {
    const float *x, *weight, *bias;       // [M, K], [N, K], [N] or NULL
    const float *norm_weight, *norm_bias; // [K]; NULL: no norm, or one with no bias
    const float *residual;                // [M, N] or NULL
    float *y;                             // [M, N]
    float *slope;                         // [M, N]: the activation's derivative; NULL where it is not wanted
    float *normed, *statistics;           // [M, K], [M, 2], where there is a norm
    float *packed;                        // K·N up, or K·M up where there are few rows; for the gradient K up·N
    const float *gradient;                // [M, N] of y
    float *x_gradient;                    // [M, K] or NULL
    float *weight_gradient;               // [N, K] or NULL
    float *bias_gradient;                 // [N] or NULL; only with that of the weight
    float *norm_sums;                     // [blocks, 2, K]: what the norm's weight and bias add up from
    float *scaled;                        // [M, N] where there is a slope
    float *packed_gradient;               // N up·M
    int64_t rows, inputs, outputs, parts; // parts: how many shares the work is split into
    float epsilon;
    int32_t activation, stage;
    int32_t few; // lays out the rows for the product instead of the weight; without a norm
    int32_t cpu; // what of the CPU it may use, the same for all stages
} ck_dense;
// Blocks of rows that `norm_sums` has, and shares [begin, end) of a stage of a `ck_dense *`; every share of a stage must
// be done before the next stage.
int64_t ck_dense_blocks(int64_t rows);
void ck_dense_run(int64_t begin, int64_t end, void *dense);

#ifdef __cplusplus
}
#endif

#endif
