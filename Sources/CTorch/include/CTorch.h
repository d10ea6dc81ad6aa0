// A small C surface over libtorch: operators by schema name, tensors, gradients, threads.
//
// A fallible function returns NULL for success or an error that the caller owns and frees with ct_error_free.
// A `ct_tensor` is one owned reference to a tensor: every tensor that a function hands out is released once with
// ct_tensor_release. No C++ exception crosses this header.
#ifndef CTORCH_H
#define CTORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_error_s *ct_error;
typedef struct ct_op_s *ct_op;
typedef struct ct_tensor_s *ct_tensor;

// Errors.

enum {
    CT_ERROR_OTHER = 0,
    CT_ERROR_OUT_OF_MEMORY = 1,
    CT_ERROR_INDEX = 2,
    CT_ERROR_VALUE = 3,
    CT_ERROR_TYPE = 4,
};

int32_t ct_error_code(ct_error error);
const char *ct_error_message(ct_error error);
void ct_error_free(ct_error error);

// Values: what operators take and give.

enum {
    CT_NONE = 0,
    CT_TENSOR = 1,            // bits: a ct_tensor
    CT_INT = 2,               // bits: the number
    CT_DOUBLE = 3,            // bits: the number's bit pattern
    CT_BOOL = 4,              // bits: 0 or 1
    CT_STRING = 5,            // bits: pointer to `count` bytes of UTF-8
    CT_INTS = 6,              // bits: pointer to `count` int64_t
    CT_DOUBLES = 7,           // bits: pointer to `count` double
    CT_BOOLS = 8,             // bits: pointer to `count` int64_t, each 0 or 1
    CT_TENSORS = 9,           // bits: pointer to `count` ct_tensor
    CT_OPTIONAL_TENSORS = 10, // the same, NULL for none
    CT_SCALAR_TYPE = 11,      // bits: libtorch's number of the type
    CT_DEVICE = 12,           // bits: see CT_DEVICE_BITS
    CT_LAYOUT = 13,
    CT_MEMORY_FORMAT = 14,
    CT_OBJECT = 15, // bits: an opaque object such as a packed weight, released with ct_object_release
};

typedef struct {
    int32_t tag;
    int32_t count;
    int64_t bits;
} ct_value;

// A device is its type in the upper half and its index in the lower: cpu is (0, -1), cuda:1 is (1, 1).
#define CT_DEVICE_BITS(type, index) (((int64_t)(type) << 32) | (uint32_t)(index))

void ct_object_release(void *object);
// Frees a list or string that came back as a result, not the tensors in it.
void ct_free(void *memory);

// Operators.

// The operator of a schema name such as "aten::add.Tensor", or NULL. Handles live as long as the process.
ct_op ct_op_find(const char *name);
// The operator's schema as text; freed with ct_free.
char *ct_op_schema(ct_op op);
// Calls the operator. Missing trailing arguments come from the schema. At most `capacity` results are written.
ct_error ct_op_call(
    ct_op op, const ct_value *arguments, int32_t count, ct_value *results, int32_t capacity, int32_t *result_count);

// Tensors.

void ct_tensor_release(ct_tensor tensor);
int32_t ct_tensor_rank(ct_tensor tensor);
const int64_t *ct_tensor_sizes(ct_tensor tensor);
const int64_t *ct_tensor_strides(ct_tensor tensor);
int64_t ct_tensor_count(ct_tensor tensor);
int32_t ct_tensor_scalar_type(ct_tensor tensor);
int64_t ct_tensor_device(ct_tensor tensor);
bool ct_tensor_is_contiguous(ct_tensor tensor);
// The first element, or NULL where the tensor has no memory of its own.
void *ct_tensor_data(ct_tensor tensor);
// One element as CT_INT, CT_DOUBLE or CT_BOOL.
ct_error ct_tensor_item(ct_tensor tensor, ct_value *result);
// Memory for `sizes`, not initialized; bytes are copied in where they are given.
ct_error ct_tensor_create(
    const void *bytes, const int64_t *sizes, int32_t rank, int32_t scalar_type, int64_t device, ct_tensor *result);
// A tensor over memory that stays the caller's until `deleter(context)` is called, also after an error.
ct_error ct_tensor_wrap(
    void *memory, const int64_t *sizes, int32_t rank, int32_t scalar_type, void (*deleter)(void *), void *context,
    ct_tensor *result);

// Gradients.

bool ct_tensor_requires_grad(ct_tensor tensor);
ct_error ct_tensor_set_requires_grad(ct_tensor tensor, bool value);
// The accumulated gradient, owned, or NULL.
ct_tensor ct_tensor_grad(ct_tensor tensor);
// Replaces the accumulated gradient; NULL clears it.
ct_error ct_tensor_set_grad(ct_tensor tensor, ct_tensor grad);
void ct_tensor_clear_grads(const ct_tensor *tensors, int32_t count);
ct_error ct_backward(ct_tensor root, ct_tensor grad, bool retain_graph);
// Gradients of `root` with respect to `inputs`, without touching their accumulated ones; NULL where unused.
ct_error ct_gradients(
    ct_tensor root, ct_tensor grad, const ct_tensor *inputs, int32_t count, bool retain_graph, bool create_graph,
    ct_tensor *grads);

// Modes of the calling thread: set and get the one before.
bool ct_grad_mode(void);
void ct_set_grad_mode(bool enabled);
void *ct_inference_begin(void);
void ct_inference_end(void *guard);

// The process.

ct_error ct_set_deterministic(bool enabled);
bool ct_deterministic(void);
ct_error ct_set_threads(int32_t count);
int32_t ct_threads(void);
int32_t ct_cuda_count(void);
// Bytes held by tensors now and at most, by libtorch's own account; false where it keeps none (the CPU).
bool ct_memory(int64_t device, int64_t *current, int64_t *peak);
ct_error ct_synchronize(int64_t device);
// libtorch's version such as "2.13.0" and the CPU path it chose such as "AVX2"; freed with ct_free.
char *ct_version(void);
char *ct_cpu_capability(void);
// Calls `body(begin, end, context)` over parts of [0, count) on libtorch's own threads.
void ct_parallel_for(int64_t count, int64_t grain, void (*body)(int64_t, int64_t, void *), void *context);
// The same in parts of `size`, which the threads take by turns: one that the system interrupts does not hold the others
// up for long. For work whose parts each take some microseconds at least.
void ct_parallel_turns(int64_t count, int64_t size, void (*body)(int64_t, int64_t, void *), void *context);

#ifdef __cplusplus
}
#endif

#endif
