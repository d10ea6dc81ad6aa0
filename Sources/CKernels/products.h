// The product that the kernels of training are made of: a tile of rows by one panel of columns, held in registers.
#ifndef CKERNELS_PRODUCTS_H
#define CKERNELS_PRODUCTS_H

#include "vectors.h"

enum { CK_TILE_ROWS = 8, CK_PANEL_LIMIT = 2 * CK_LANES };

// C[r, 0 ..< 16·wide] = Σ_k A[r, k]·B[k, ..], in the order of k, or added to what is there. A row of B is `b_next` from the
// one before, and is read whole.
INLINE void tile(
    const float *a, int64_t a_row, int64_t a_next, const float *b, int64_t b_next, int64_t count, float *c,
    int64_t c_row, int adds, int rows, int wide) {
    floats sum[CK_TILE_ROWS * 2];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int w = 0; w < wide; ++w) {
            sum[r * wide + w] = (floats){0};
            if (adds) load(c + r * c_row + w * CK_LANES, &sum[r * wide + w]);
        }
    }
    for (int64_t k = 0; k < count; ++k) {
        floats row[2];
#pragma clang loop unroll(full)
        for (int w = 0; w < wide; ++w) load(b + k * b_next + w * CK_LANES, &row[w]);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) {
            float x = a[r * a_row + k * a_next];
#pragma clang loop unroll(full)
            for (int w = 0; w < wide; ++w) sum[r * wide + w] += row[w] * x;
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int w = 0; w < wide; ++w) store(&sum[r * wide + w], c + r * c_row + w * CK_LANES);
    }
}

// Any number of rows by one panel, whose columns from `columns` on are left out. `rows` is how many a tile has.
INLINE void panel(
    const float *a, int64_t a_row, int64_t a_next, const float *b, int64_t b_next, int64_t count, float *c,
    int64_t c_row, int64_t height, int64_t columns, int adds, int rows, int wide) {
    float part[CK_TILE_ROWS * CK_PANEL_LIMIT];
    int64_t width = wide * CK_LANES, r = 0;
    while (r < height) {
        int64_t left = height - r;
        int64_t step = left >= rows ? rows : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        float *to = columns < width ? part : c + r * c_row;
        int64_t to_row = columns < width ? width : c_row;
        const float *from = a + r * a_row;
        if (adds && columns < width) {
            for (int64_t i = 0; i < step; ++i)
                memcpy(part + i * width, c + (r + i) * c_row, (size_t)columns * sizeof(float));
        }
        if (step == rows) tile(from, a_row, a_next, b, b_next, count, to, to_row, adds, rows, wide);
        else if (step == 4) tile(from, a_row, a_next, b, b_next, count, to, to_row, adds, 4, wide);
        else if (step == 2) tile(from, a_row, a_next, b, b_next, count, to, to_row, adds, 2, wide);
        else tile(from, a_row, a_next, b, b_next, count, to, to_row, adds, 1, wide);
        if (columns < width) {
            for (int64_t i = 0; i < step; ++i)
                memcpy(c + (r + i) * c_row, part + i * width, (size_t)columns * sizeof(float));
        }
        r += step;
    }
}

#endif
