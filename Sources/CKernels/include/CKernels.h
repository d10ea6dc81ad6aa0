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

// Attention over a paged cache of keys and values.
enum {
    CK_PAGE = 16,         // tokens of a page
    CK_HEAD_LIMIT = 512,  // the largest head
};

// The tokens of one sequence in a pass.
typedef struct {
    int64_t pages; // where the sequence's pages begin in `blocks`
    int32_t row;   // its first row in q, k, v and output
    int32_t count; // its rows
    int32_t start; // the place of the first in its sequence
} ck_chunk;

// H heads, G heads of keys and values, K head size; pages lie one after another.
typedef struct {
    const float *q;                       // [N, H, K]
    const float *k, *v;                   // [N, G, K]
    int64_t q_stride, k_stride, v_stride; // numbers from one row to the next
    float *output;                        // [N, H, K], side by side
    void *keys;                           // [pages, G, K, CK_PAGE]
    void *values;                         // [pages, G, CK_PAGE, K rounded up to 16]
    int32_t is_half;                      // 1: keys and values are in IEEE's 16 bits, 0: float32
    int32_t cpu;                          // what the kernel may use: 2 all, 1 AVX2, 0 neither
    const int32_t *blocks;                // the page of each CK_PAGE tokens of a sequence
    const ck_chunk *chunks;
    int32_t chunk_count;
    int32_t heads, groups, size; // H, G, K ≤ CK_HEAD_LIMIT
    float scale;
    int32_t window; // tokens that a token sees, 0 for all before it
    float softcap;  // 0 for none
} ck_attention;

// Puts keys and values of the heads [begin, end) of G in their pages.
void ck_attention_write(int64_t begin, int64_t end, void *attention);
// How many pieces of work there are, and the pieces [begin, end) of them, once all is written.
int64_t ck_attention_items(const ck_attention *attention);
void ck_attention_run(int64_t begin, int64_t end, void *attention);

// One row of logits.
// The largest number, and the first place that has it; -1 where there are only NaN and -∞.
int64_t ck_row_highest(const float *row, int64_t count, float *highest);
// Σ e^((x - highest)·scale); NaN where a number is NaN.
double ck_row_exp_sum(const float *row, int64_t count, float highest, float scale);
// e^((x - highest)·scale) of each number.
void ck_row_exp(const float *row, int64_t count, float highest, float scale, float *output);
// The places of the numbers that are at least `bound`, in order; the result counts also those beyond `capacity`.
int64_t ck_row_above(const float *row, int64_t count, float bound, int32_t *places, int64_t capacity);
// -∞ where a token's bit is not set; the lowest bit of the first word is the first token's.
void ck_row_mask(float *row, int64_t count, const uint32_t *bits);

// Rotary positions: turns the first `rotated` numbers of each head, i with i + rotated/2; the others are copied.
typedef struct {
    const float *input; // rows of [heads, size]
    int64_t stride;     // numbers from one row to the next
    float *output;      // rows of [heads, size]; the input itself, where its stride is the same
    int64_t output_stride;
    const float *cosines, *sines; // [rows, rotated]
    int32_t heads, size, rotated;
} ck_rotation;
// Rows [begin, end) of a `ck_rotation *`.
void ck_rotate(int64_t begin, int64_t end, void *rotation);

// x/√(mean(x²) + ε)·w of each row.
typedef struct {
    const float *input;
    const float *weight;
    float *output;
    int64_t size;
    float epsilon;
} ck_norm;
// Rows [begin, end) of a `ck_norm *`.
void ck_norm_rows(int64_t begin, int64_t end, void *norm);

// SiLU(gate)·up of each row.
typedef struct {
    const float *gate, *up;
    int64_t gate_stride, up_stride; // numbers from one row to the next
    float *output;                  // [rows, size]
    int64_t size;
} ck_gate;
// Rows [begin, end) of a `ck_gate *`.
void ck_gate_rows(int64_t begin, int64_t end, void *gate);

// Low-rank additions to a product (Hu and others, 2021), for rows of many adapters side by side.
enum { CK_RANK_LIMIT = 1024 };

// y += Bᵀ·(A·x) in some columns of y; the scale is in B.
typedef struct {
    const float *a;       // [rank, inputs]
    const float *b;       // [rank, width]
    int32_t rank;         // 1 ... CK_RANK_LIMIT
    int32_t first, width; // columns of y
} ck_addition;

// Rows that get the same additions.
typedef struct {
    int64_t row;
    int32_t count;
    int32_t addition_count;
    const ck_addition *additions;
} ck_segment;

typedef struct {
    const float *x; // [rows, inputs]
    float *y;       // [rows, ..]
    int64_t x_stride, y_stride; // numbers from one row to the next
    const ck_segment *segments;
    int32_t segment_count;
    int32_t inputs;
} ck_adaptation;

// How many pieces of work there are, and the pieces [begin, end) of them.
int64_t ck_adapt_items(const ck_adaptation *adaptation);
void ck_adapt_run(int64_t begin, int64_t end, void *adaptation);

#ifdef __cplusplus
}
#endif

#endif
