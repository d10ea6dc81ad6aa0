// Products with a weight in panels of 16 outputs, for a few rows as for many.
//
// A tile of rows and panels has its sums in registers over all inputs. Each sum takes its inputs in order whatever the
// tile, so that a row's result does not depend on the rows beside it. At one row the weight passes once from memory to
// the registers; from some ten rows on the multiplications take longer than that.
#include "panels.h"

#include "halves.h"

typedef struct {
    const float *x;
    const char *weight;
    // What is wanted from memory while these panels are multiplied.
    const char *ahead;
    int64_t ahead_step;
    const float *bias;
    // With the strides of y.
    const float *residual;
    float *y;
    int64_t x_stride, y_stride, inputs;
} panel_tile;

typedef void (*panel_kernel)(const panel_tile *);

// A group of panels for so many rows at a time, at most `rows`: kernels[r] does r rows of `panels` panels.
typedef struct {
    int32_t rows, panels;
    panel_kernel kernels[9];
} panel_plan;

// A row is found from the one of three before it, which spares a pointer for each.
INLINE float number_of(const float *const *x, int64_t stride, int row) {
    return x[row / 3][(row % 3) * stride];
}

INLINE void multiply(const panel_tile *t, int rows, int panels, int form) {
    floats sums[24];
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; ++p) {
        floats first = {0};
        if (t->bias) load(t->bias + p * CK_LANES, &first);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) sums[r * panels + p] = first;
    }
    int64_t width = width_of(form), panel = t->inputs * width, stride = t->x_stride;
    const char *low = t->weight, *high = t->weight + 2 * panel;
    const float *x[3] = {t->x, t->x + 3 * stride, t->x + 6 * stride};
    const char *ahead = t->ahead;
    int64_t step = t->ahead_step;
#pragma clang loop unroll(disable)
    for (int64_t k = 0; k < t->inputs; ++k) {
        // From so many rows on the multiplications take longer than the reading, and memory would wait for them.
        if (rows >= (form == IN_WORDS ? 7 : 4)) {
            __builtin_prefetch(ahead, 0, 2);
            // Two lines an input, where it has so many.
            if (panels * width > 64) __builtin_prefetch(ahead + step, 0, 2);
            ahead += panels * width > 64 ? 2 * step : step;
        }
        floats weights[4];
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; ++p) weights[p] = numbers_at((p < 2 ? low : high) + p % 2 * panel, form);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) {
            float number = number_of(x, stride, r);
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; ++p) sums[r * panels + p] += weights[p] * number;
        }
        low += width;
        high += width;
        ++x[0];
        ++x[1];
        ++x[2];
    }
    if (t->residual) {
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
            for (int p = 0; p < panels; ++p) {
                floats residual;
                load(t->residual + r * t->y_stride + p * CK_LANES, &residual);
                sums[r * panels + p] += residual;
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int p = 0; p < panels; ++p) store(&sums[r * panels + p], t->y + r * t->y_stride + p * CK_LANES);
    }
}

#define KERNEL(cpu, target, form, panels, rows) \
    target static void cpu##_##form##_##panels##_##rows(const panel_tile *t) { multiply(t, rows, panels, form); }

#if defined(__x86_64__)
// Registers for 24 sums of sixteen numbers.
#define SIX(form) \
    KERNEL(avx512, FOR_AVX512, form, 4, 1) KERNEL(avx512, FOR_AVX512, form, 4, 2) \
    KERNEL(avx512, FOR_AVX512, form, 4, 3) KERNEL(avx512, FOR_AVX512, form, 4, 4) \
    KERNEL(avx512, FOR_AVX512, form, 4, 5) KERNEL(avx512, FOR_AVX512, form, 4, 6)
SIX(IN_WORDS)
SIX(IN_HALVES)
KERNEL(avx512, FOR_AVX512, IN_WORDS, 2, 7)
KERNEL(avx512, FOR_AVX512, IN_WORDS, 2, 8)
#define SIX_NAMES(form) \
    {NULL, avx512_##form##_4_1, avx512_##form##_4_2, avx512_##form##_4_3, avx512_##form##_4_4, avx512_##form##_4_5, \
     avx512_##form##_4_6}
static const panel_plan avx512_plans[2] = {{6, 4, SIX_NAMES(IN_WORDS)}, {6, 4, SIX_NAMES(IN_HALVES)}};
// Float32 that is read once from memory, where two passes over it would take longer than the multiplications.
static const panel_plan avx512_eight = {
    8, 2, {NULL, NULL, NULL, NULL, NULL, NULL, NULL, avx512_IN_WORDS_2_7, avx512_IN_WORDS_2_8}};

// Registers for six sums of sixteen numbers.
#define AVX2(form) \
    KERNEL(avx2, FOR_AVX2, form, 2, 1) KERNEL(avx2, FOR_AVX2, form, 2, 2) KERNEL(avx2, FOR_AVX2, form, 1, 3) \
    KERNEL(avx2, FOR_AVX2, form, 1, 4) KERNEL(avx2, FOR_AVX2, form, 1, 5) KERNEL(avx2, FOR_AVX2, form, 1, 6)
AVX2(IN_WORDS)
AVX2(IN_HALVES)
#define AVX2_FEW(form) {2, 2, {NULL, avx2_##form##_2_1, avx2_##form##_2_2}}
#define AVX2_MANY(form) \
    {6, 1, {NULL, NULL, NULL, avx2_##form##_1_3, avx2_##form##_1_4, avx2_##form##_1_5, avx2_##form##_1_6}}
static const panel_plan avx2_few[2] = {AVX2_FEW(IN_WORDS), AVX2_FEW(IN_HALVES)};
static const panel_plan avx2_many[2] = {AVX2_MANY(IN_WORDS), AVX2_MANY(IN_HALVES)};
#endif

#define PLAIN(form) \
    KERNEL(plain, , form, 1, 1) KERNEL(plain, , form, 1, 2) KERNEL(plain, , form, 1, 3) KERNEL(plain, , form, 1, 4)
#define EXPANDED(name, form) name(form)
PLAIN(IN_WORDS)
EXPANDED(PLAIN, PLAIN_HALVES)
#define PLAIN_NAMES(form) \
    {4, 1, {NULL, plain_##form##_1_1, plain_##form##_1_2, plain_##form##_1_3, plain_##form##_1_4}}
static const panel_plan plain_plans[2] = {PLAIN_NAMES(IN_WORDS), EXPANDED(PLAIN_NAMES, PLAIN_HALVES)};

static const panel_plan *plan_of(const ck_panels *product) {
    int32_t cpu = ck_cpu(product->cpu);
    int half = product->is_half != 0;
#if defined(__x86_64__)
    if (cpu == CK_CPU_AVX512) {
        return !half && (product->rows == 7 || product->rows == 8) ? &avx512_eight : &avx512_plans[half];
    }
    if (cpu == CK_CPU_AVX2) return product->rows <= 2 ? &avx2_few[half] : &avx2_many[half];
#endif
    (void)cpu;
    return &plain_plans[half];
}

// Outputs that are fewer than a group's are made beside the result, whose rows have no room for more.
static void run_last(const panel_plan *plan, panel_tile tile, int32_t rows, int64_t width) {
    float y[8 * CK_PANEL_GROUP * CK_LANES], bias[CK_PANEL_GROUP * CK_LANES] = {0};
    float *result = tile.y;
    const float *residual = tile.residual;
    tile.residual = NULL;
    if (tile.bias) {
        memcpy(bias, tile.bias, width * sizeof(float));
        tile.bias = bias;
    }
    tile.y = y;
    int64_t stride = tile.y_stride;
    tile.y_stride = plan->panels * CK_LANES;
    plan->kernels[rows](&tile);
    for (int32_t r = 0; r < rows; ++r) {
        float *row = y + r * tile.y_stride;
        for (int64_t i = 0; residual && i < width; ++i) row[i] += residual[r * stride + i];
        memcpy(result + r * stride, row, width * sizeof(float));
    }
}

void ck_panels_run(int64_t begin, int64_t end, void *context) {
    const ck_panels *product = context;
    const panel_plan *plan = plan_of(product);
    int64_t panel = product->inputs * (product->is_half ? sizeof(uint16_t) : sizeof(float)) * CK_LANES;
    int64_t blocks = (product->rows + plan->rows - 1) / plan->rows;
    for (int64_t p = begin * CK_PANEL_GROUP; p < end * CK_PANEL_GROUP; p += plan->panels) {
        int64_t column = p * CK_LANES, width = product->outputs - column;
        if (width <= 0) return;
        panel_tile tile = {
            .weight = (const char *)product->weight + p * panel,
            .bias = product->bias ? product->bias + column : NULL,
            .x_stride = product->x_stride,
            .y_stride = product->y_stride,
            .inputs = product->inputs,
        };
        // Each block of rows asks for its part of the next panels: memory is never without work.
        const char *next = tile.weight + plan->panels * panel;
        int64_t per_input = plan->panels * panel / (product->inputs ? product->inputs : 1);
        tile.ahead_step = (per_input > 64 ? per_input / 2 : per_input) / blocks;
        int64_t row = 0, part = plan->panels * panel / blocks;
        for (int64_t left = blocks; left > 0; --left) {
            // Blocks of even size: one of a single row at the end would take as long as a full one.
            int32_t rows = (int32_t)((product->rows - row + left - 1) / left);
            tile.ahead = next + (blocks - left) * part;
            tile.x = product->x + row * product->x_stride;
            tile.y = product->y + row * product->y_stride + column;
            tile.residual = product->residual ? product->residual + row * product->y_stride + column : NULL;
            if (width < plan->panels * CK_LANES) {
                run_last(plan, tile, rows, width);
            } else {
                plan->kernels[rows](&tile);
            }
            row += rows;
        }
    }
}

// Sixteen inputs of sixteen rows at a time, the rows innermost.
FOR_EACH_CPU static void pack_panel(const float *from, char *to, int64_t inputs, int64_t rows, int32_t is_half) {
    for (int64_t k = 0; k < inputs; k += CK_LANES) {
        int64_t count = inputs - k < CK_LANES ? inputs - k : CK_LANES;
        float words[CK_LANES][CK_LANES] = {0};
        uint16_t halves[CK_LANES][CK_LANES];
        for (int64_t r = 0; r < rows; ++r) memcpy(words[r], from + r * inputs + k, count * sizeof(float));
        if (!is_half) {
            float *panel = (float *)to + k * CK_LANES;
            for (int64_t i = 0; i < count; ++i) {
                for (int64_t r = 0; r < CK_LANES; ++r) panel[i * CK_LANES + r] = words[r][i];
            }
            continue;
        }
        for (int64_t r = 0; r < CK_LANES; ++r) {
            floats row;
            load(words[r], &row);
            store_halves(&row, halves[r]);
        }
        uint16_t *panel = (uint16_t *)to + k * CK_LANES;
        for (int64_t i = 0; i < count; ++i) {
            for (int64_t r = 0; r < CK_LANES; ++r) panel[i * CK_LANES + r] = halves[r][i];
        }
    }
}

void ck_panels_pack(int64_t begin, int64_t end, void *context) {
    const ck_panel_packing *packing = context;
    int64_t inputs = packing->inputs, bytes = width_of(packing->is_half ? IN_HALVES : IN_WORDS) * inputs;
    for (int64_t p = begin; p < end; ++p) {
        int64_t row = p * CK_LANES, rows = packing->outputs - row;
        rows = rows < 0 ? 0 : rows > CK_LANES ? CK_LANES : rows;
        // A panel past the last row has nothing to read.
        const float *from = packing->rows + (rows > 0 ? row * inputs : 0);
        pack_panel(from, (char *)packing->panels + p * bytes, inputs, rows, packing->is_half);
    }
}
