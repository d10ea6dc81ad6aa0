#include "CKernels.h"

#include "vectors.h"

// The largest number and the first place that has it; -1 where there is none but NaN and -∞.
INLINE int64_t row_highest(const float *row, int64_t count, float *highest) {
    floats best = splat(-INFINITY);
    int64_t whole = count / CK_LANES * CK_LANES;
    for (int64_t i = 0; i < whole; i += CK_LANES) {
        floats x;
        load(row + i, &x);
        best = select(x > best, x, best);
    }
    float top = __builtin_reduce_max(best);
    for (int64_t i = whole; i < count; ++i)
        if (row[i] > top) top = row[i];
    *highest = top;
    if (top == -INFINITY) return -1;
    for (int64_t i = 0; i < whole; i += CK_LANES) {
        floats x;
        load(row + i, &x);
        if (__builtin_reduce_or(x == splat(top))) {
            for (int64_t j = i;; ++j)
                if (row[j] == top) return j;
        }
    }
    for (int64_t i = whole; i < count; ++i)
        if (row[i] == top) return i;
    return -1;
}

// Σ e^((x - highest)·scale), NaN where a number is.
INLINE double row_exp_sum(const float *row, int64_t count, float highest, float scale) {
    double total = 0;
    int64_t i = 0;
    while (i + CK_LANES <= count) {
        int64_t end = i + 256 * CK_LANES < count ? i + 256 * CK_LANES : count;
        floats sum = {0};
        for (; i + CK_LANES <= end; i += CK_LANES) {
            floats x;
            load(row + i, &x);
            floats y = (x - highest) * scale;
            sum += select(y == y, exp_of(y), y);
        }
        for (int lane = 0; lane < CK_LANES; ++lane) total += (double)sum[lane];
    }
    for (; i < count; ++i) total += exp(((double)row[i] - highest) * scale);
    return total;
}

// e^((x - highest)·scale) of each number.
INLINE void row_exp(const float *row, int64_t count, float highest, float scale, float *output) {
    int64_t i = 0;
    for (; i + CK_LANES <= count; i += CK_LANES) {
        floats x;
        load(row + i, &x);
        floats y = exp_of((x - highest) * scale);
        store(&y, output + i);
    }
    for (; i < count; ++i) output[i] = expf((row[i] - highest) * scale);
}

// The places of the numbers that are at least `bound`, in order; the result is how many there are, also where that is
// more than `capacity`.
INLINE int64_t row_above(
    const float *row, int64_t count, float bound, int32_t *places, int64_t capacity) {
    int64_t found = 0, whole = count / CK_LANES * CK_LANES;
    for (int64_t i = 0; i < count; i += CK_LANES) {
        int64_t end = i + CK_LANES;
        if (i < whole) {
            floats x;
            load(row + i, &x);
            if (!__builtin_reduce_or(x >= splat(bound))) continue;
        } else {
            end = count;
        }
        for (int64_t j = i; j < end; ++j) {
            if (!(row[j] >= bound)) continue;
            if (found < capacity) places[found] = (int32_t)j;
            ++found;
        }
    }
    return found;
}

// -∞ where a token's bit is not set.
INLINE void row_mask(float *row, int64_t count, const uint32_t *bits) {
    const ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int64_t whole = count / 32 * 32;
    for (int64_t i = 0; i < whole; i += 32) {
        uint32_t word = bits[i / 32];
        if (word == 0xFFFFFFFFu) continue;
        for (int half = 0; half < 2; ++half) {
            floats x;
            load(row + i + half * CK_LANES, &x);
            ints kept = (((ints){0} + (int32_t)(word >> (half * CK_LANES))) >> lanes & 1) != 0;
            x = select(kept, x, splat(-INFINITY));
            store(&x, row + i + half * CK_LANES);
        }
    }
    for (int64_t i = whole; i < count; ++i)
        if (!(bits[i / 32] >> (i % 32) & 1)) row[i] = -INFINITY;
}

// Vectors go by value only between functions that are compiled for no CPU in particular and put into these.
FOR_EACH_CPU int64_t ck_row_highest(const float *row, int64_t count, float *highest) { return row_highest(row, count, highest); }
FOR_EACH_CPU double ck_row_exp_sum(const float *row, int64_t count, float highest, float scale) { return row_exp_sum(row, count, highest, scale); }
FOR_EACH_CPU void ck_row_exp(const float *row, int64_t count, float highest, float scale, float *output) { row_exp(row, count, highest, scale, output); }
FOR_EACH_CPU int64_t ck_row_above(const float *row, int64_t count, float bound, int32_t *places, int64_t capacity) { return row_above(row, count, bound, places, capacity); }
FOR_EACH_CPU void ck_row_mask(float *row, int64_t count, const uint32_t *bits) { row_mask(row, count, bits); }
