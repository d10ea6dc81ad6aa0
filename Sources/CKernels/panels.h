// Products y = x·Wᵀ + b with a weight in panels of 16 outputs, the outputs innermost: [panels, inputs, 16]. Panels come
// in groups, the last of which is filled up with zeros.
#ifndef CKERNELS_PANELS_H
#define CKERNELS_PANELS_H

#include "cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CK_PANEL = 16,
    CK_PANEL_GROUP = 4,
};

typedef struct {
    const float *x;             // [rows, inputs]
    float *y;                   // [rows, outputs]
    int64_t x_stride, y_stride; // numbers from one row to the next
    const void *weight;
    const float *bias;          // [outputs] or NULL
    const float *residual;      // [rows, outputs], added to the result, or NULL
    int64_t rows, inputs, outputs;
    int32_t is_half;            // 1: the weight is in IEEE's 16 bits, 0: float32
    int32_t cpu;                // what of the CPU it may use
} ck_panels;
// Groups of panels [begin, end) of a `ck_panels *`.
void ck_panels_run(int64_t begin, int64_t end, void *panels);

typedef struct {
    const float *rows; // [outputs, inputs], side by side
    void *panels;      // float32, or halves that are the nearest
    int64_t inputs, outputs;
    int32_t is_half;
} ck_panel_packing;
// Panels [begin, end) of a `ck_panel_packing *`.
void ck_panels_pack(int64_t begin, int64_t end, void *packing);

#ifdef __cplusplus
}
#endif

#endif
