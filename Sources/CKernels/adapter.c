#include "CKernels.h"

#include "vectors.h"

// Rows that are computed together, and ranks that are summed side by side.
enum { ROWS = 4, RANKS = 4, PAIR = 2, EIGHT = 8 };

int64_t ck_adapt_items(const ck_adaptation *a) {
    int64_t items = 0;
    for (int32_t s = 0; s < a->segment_count; ++s) items += (a->segments[s].count + ROWS - 1) / ROWS;
    return items;
}

// h = A·x for `ranks` ranks of `rows` rows. A row's sums have the same order whatever stands beside it.
INLINE void reduce(
    const ck_adaptation *a, const float *x, const float *matrix, float *h, int rows, int ranks) {
    floats sums[ROWS][RANKS] = {{{0}}};
    int32_t whole = a->inputs / CK_LANES * CK_LANES;
    for (int32_t i = 0; i < whole; i += CK_LANES) {
        floats v[ROWS];
#pragma clang loop unroll(full)
        for (int row = 0; row < rows; ++row) load(x + row * a->x_stride + i, &v[row]);
#pragma clang loop unroll(full)
        for (int rank = 0; rank < ranks; ++rank) {
            floats m;
            load(matrix + (int64_t)rank * a->inputs + i, &m);
#pragma clang loop unroll(full)
            for (int row = 0; row < rows; ++row) sums[row][rank] += m * v[row];
        }
    }
#pragma clang loop unroll(full)
    for (int row = 0; row < rows; ++row) {
#pragma clang loop unroll(full)
        for (int rank = 0; rank < ranks; ++rank) {
            float sum = 0;
            for (int lane = 0; lane < CK_LANES; ++lane) sum += sums[row][rank][lane];
            for (int32_t i = whole; i < a->inputs; ++i) {
                sum += x[row * a->x_stride + i] * matrix[(int64_t)rank * a->inputs + i];
            }
            h[row * CK_RANK_LIMIT + rank] = sum;
        }
    }
}

// y += Bᵀ·h for `ranks` ranks of one row.
INLINE void expand(float *y, const float *matrix, const float *h, int32_t width, int ranks) {
    int32_t whole = width / CK_LANES * CK_LANES;
    for (int32_t i = 0; i < whole; i += CK_LANES) {
        floats sum;
        load(y + i, &sum);
#pragma clang loop unroll(full)
        for (int rank = 0; rank < ranks; ++rank) {
            floats m;
            load(matrix + (int64_t)rank * width + i, &m);
            sum += m * h[rank];
        }
        store(&sum, y + i);
    }
    for (int32_t i = whole; i < width; ++i) {
        float sum = y[i];
        for (int rank = 0; rank < ranks; ++rank) sum += matrix[(int64_t)rank * width + i] * h[rank];
        y[i] = sum;
    }
}

INLINE void add(const ck_adaptation *a, const ck_addition *addition, int64_t first, int32_t rows) {
    float h[ROWS * CK_RANK_LIMIT];
    const float *x = a->x + first * a->x_stride;
    int32_t rank = addition->rank, step;
    for (int32_t r = 0; r < rank; r += step) {
        const float *matrix = addition->a + (int64_t)r * a->inputs;
        if (rows == ROWS) {
            step = r + PAIR <= rank ? PAIR : 1;
            if (step == PAIR) {
                reduce(a, x, matrix, h + r, ROWS, PAIR);
            } else {
                reduce(a, x, matrix, h + r, ROWS, 1);
            }
            continue;
        }
        step = r + RANKS <= rank ? RANKS : 1;
        for (int32_t row = 0; row < rows; ++row) {
            float *to = h + row * CK_RANK_LIMIT + r;
            if (step == RANKS) {
                reduce(a, x + row * a->x_stride, matrix, to, 1, RANKS);
            } else {
                reduce(a, x + row * a->x_stride, matrix, to, 1, 1);
            }
        }
    }
    for (int32_t row = 0; row < rows; ++row) {
        float *y = a->y + (first + row) * a->y_stride + addition->first;
        for (int32_t r = 0; r < rank; r += step) {
            const float *matrix = addition->b + (int64_t)r * addition->width;
            const float *from = h + row * CK_RANK_LIMIT + r;
            step = r + EIGHT <= rank ? EIGHT : 1;
            if (step == EIGHT) {
                expand(y, matrix, from, addition->width, EIGHT);
            } else {
                expand(y, matrix, from, addition->width, 1);
            }
        }
    }
}

INLINE void adapt(const ck_adaptation *a, int64_t begin, int64_t end) {
    int64_t item = 0;
    for (int32_t s = 0; s < a->segment_count && item < end; ++s) {
        const ck_segment *segment = &a->segments[s];
        for (int32_t done = 0; done < segment->count && item < end; done += ROWS, ++item) {
            if (item < begin) continue;
            int32_t rows = segment->count - done < ROWS ? segment->count - done : ROWS;
            for (int32_t i = 0; i < segment->addition_count; ++i) {
                add(a, &segment->additions[i], segment->row + done, rows);
            }
        }
    }
}

FOR_EACH_CPU void ck_adapt_run(int64_t begin, int64_t end, void *adaptation) { adapt(adaptation, begin, end); }
