// Boxed calls through the dispatcher. Everything about an operator that does not change between calls (which kind
// each argument is, and its default) is worked out once, when the operator is looked up.
#include "Internal.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>

#include <mutex>
#include <sstream>
#include <unordered_map>
#include <vector>

namespace {

using c10::IValue;

enum class Kind {
    tensor, integer, real, scalar, boolean, integers, reals, scalars, booleans, tensors, optional_tensors, other
};

struct Parameter {
    std::string name;
    Kind kind;
    bool optional;
    int32_t fixed_size; // how often a single number is repeated where a list is wanted
    std::optional<IValue> fallback;
};

Kind kind_of(const c10::TypePtr &type) {
    switch (type->kind()) {
    case c10::TypeKind::TensorType: return Kind::tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
    case c10::TypeKind::ScalarTypeType:
    case c10::TypeKind::LayoutType:
    case c10::TypeKind::MemoryFormatType: return Kind::integer;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType: return Kind::real;
    case c10::TypeKind::NumberType: return Kind::scalar;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: return Kind::boolean;
    case c10::TypeKind::ListType: {
        auto element = type->expectRef<c10::ListType>().getElementType();
        if (element->kind() == c10::TypeKind::OptionalType) {
            bool numbers = element->expectRef<c10::OptionalType>().getElementType()->kind() == c10::TypeKind::NumberType;
            return numbers ? Kind::scalars : Kind::optional_tensors;
        }
        switch (kind_of(element)) {
        case Kind::tensor: return Kind::tensors;
        case Kind::integer: return Kind::integers;
        case Kind::real: return Kind::reals;
        case Kind::boolean: return Kind::booleans;
        default: return Kind::other;
        }
    }
    default: return Kind::other;
    }
}

[[noreturn]] void mismatch(const Parameter &parameter, const char *given) {
    C10_THROW_ERROR(TypeError, "argument '" + parameter.name + "' cannot be " + given);
}

template <typename T> c10::List<T> repeated(T value, int32_t count) {
    c10::List<T> list;
    list.reserve(count);
    for (int32_t i = 0; i < count; ++i) list.push_back(value);
    return list;
}

template <typename T> const T *pointer(const ct_value &value) { return reinterpret_cast<const T *>(value.bits); }

double real(int64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

IValue from_int(const Parameter &parameter, int64_t value) {
    switch (parameter.kind) {
    case Kind::integer:
    case Kind::scalar: return value;
    case Kind::real: return static_cast<double>(value);
    case Kind::integers: return repeated<int64_t>(value, parameter.fixed_size);
    case Kind::reals: return repeated<double>(static_cast<double>(value), parameter.fixed_size);
    default: mismatch(parameter, "an integer");
    }
}

IValue from_double(const Parameter &parameter, double value) {
    switch (parameter.kind) {
    case Kind::real:
    case Kind::scalar: return value;
    case Kind::reals: return repeated<double>(value, parameter.fixed_size);
    default: mismatch(parameter, "a floating-point number");
    }
}

IValue from_bool(const Parameter &parameter, bool value) {
    switch (parameter.kind) {
    case Kind::boolean:
    case Kind::scalar: return value;
    case Kind::booleans: return repeated<bool>(value, parameter.fixed_size);
    default: mismatch(parameter, "a boolean");
    }
}

IValue from_ints(const Parameter &parameter, const int64_t *values, int32_t count) {
    if (parameter.kind == Kind::reals) {
        c10::List<double> list;
        list.reserve(count);
        for (int32_t i = 0; i < count; ++i) list.push_back(static_cast<double>(values[i]));
        return list;
    }
    if (parameter.kind == Kind::scalars) {
        c10::List<std::optional<at::Scalar>> list;
        for (int32_t i = 0; i < count; ++i) list.push_back(at::Scalar(values[i]));
        return list;
    }
    if (parameter.kind != Kind::integers) mismatch(parameter, "a list of integers");
    c10::List<int64_t> list;
    list.reserve(count);
    for (int32_t i = 0; i < count; ++i) list.push_back(values[i]);
    return list;
}

IValue from_tensors(const Parameter &parameter, const ct_value &value) {
    auto *tensors = pointer<ct_tensor>(value);
    if (parameter.kind == Kind::optional_tensors) {
        c10::List<std::optional<at::Tensor>> list;
        list.reserve(value.count);
        for (int32_t i = 0; i < value.count; ++i) {
            if (tensors[i] == nullptr) {
                list.push_back(std::nullopt);
            } else {
                list.push_back(ct::borrow(tensors[i]));
            }
        }
        return list;
    }
    if (parameter.kind != Kind::tensors) mismatch(parameter, "a list of tensors");
    c10::List<at::Tensor> list;
    list.reserve(value.count);
    for (int32_t i = 0; i < value.count; ++i) {
        list.push_back(tensors[i] == nullptr ? at::Tensor() : ct::borrow(tensors[i]));
    }
    return list;
}

IValue convert(const Parameter &parameter, const ct_value &value) {
    switch (value.tag) {
    case CT_NONE:
        if (!parameter.optional && parameter.kind == Kind::tensor) return at::Tensor();
        if (!parameter.optional) mismatch(parameter, "left empty");
        return IValue();
    case CT_TENSOR:
        if (parameter.kind != Kind::tensor) mismatch(parameter, "a tensor");
        return ct::borrow(reinterpret_cast<ct_tensor>(value.bits));
    case CT_INT: return from_int(parameter, value.bits);
    case CT_DOUBLE: return from_double(parameter, real(value.bits));
    case CT_BOOL: return from_bool(parameter, value.bits != 0);
    case CT_STRING: return std::string(pointer<char>(value), value.count);
    case CT_INTS: return from_ints(parameter, pointer<int64_t>(value), value.count);
    case CT_DOUBLES: {
        if (parameter.kind != Kind::reals) mismatch(parameter, "a list of floating-point numbers");
        c10::List<double> list;
        list.reserve(value.count);
        for (int32_t i = 0; i < value.count; ++i) list.push_back(pointer<double>(value)[i]);
        return list;
    }
    case CT_BOOLS: {
        if (parameter.kind != Kind::booleans) mismatch(parameter, "a list of booleans");
        c10::List<bool> list;
        list.reserve(value.count);
        for (int32_t i = 0; i < value.count; ++i) list.push_back(pointer<int64_t>(value)[i] != 0);
        return list;
    }
    case CT_TENSORS:
    case CT_OPTIONAL_TENSORS: return from_tensors(parameter, value);
    case CT_SCALAR_TYPE:
    case CT_LAYOUT:
    case CT_MEMORY_FORMAT:
        if (parameter.kind != Kind::integer) mismatch(parameter, "a type, layout or memory format");
        return value.bits;
    case CT_DEVICE: return ct::device(value.bits);
    case CT_OBJECT: return *reinterpret_cast<const IValue *>(value.bits);
    default: mismatch(parameter, "of an unknown kind");
    }
}

template <typename T> T *allocate(size_t count) {
    // malloc(0) may be NULL, which would read as a failure.
    auto *memory = static_cast<T *>(std::malloc(std::max<size_t>(count, 1) * sizeof(T)));
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

ct_value made(int32_t tag, int64_t bits, int32_t count = 0) { return ct_value{tag, count, bits}; }
ct_value made(int32_t tag, const void *memory, size_t count) {
    return ct_value{tag, static_cast<int32_t>(count), reinterpret_cast<int64_t>(memory)};
}

// Takes a result apart. A number is told from a list by its tag, so the caller never needs the schema.
ct_value result(IValue &&value) {
    if (value.isTensor()) {
        ct_tensor tensor = ct::give(std::move(value).toTensor());
        return tensor == nullptr ? made(CT_NONE, 0) : made(CT_TENSOR, reinterpret_cast<int64_t>(tensor));
    }
    if (value.isNone()) return made(CT_NONE, 0);
    if (value.isInt()) return made(CT_INT, value.toInt());
    if (value.isBool()) return made(CT_BOOL, value.toBool() ? 1 : 0);
    if (value.isDouble()) {
        double number = value.toDouble();
        int64_t bits;
        std::memcpy(&bits, &number, sizeof bits);
        return made(CT_DOUBLE, bits);
    }
    if (value.isTensorList()) {
        auto list = value.toTensorVector();
        auto *tensors = allocate<ct_tensor>(list.size());
        for (size_t i = 0; i < list.size(); ++i) tensors[i] = ct::give(std::move(list[i]));
        return made(CT_OPTIONAL_TENSORS, tensors, list.size());
    }
    if (value.isIntList()) {
        auto list = value.toIntVector();
        auto *numbers = allocate<int64_t>(list.size());
        std::copy(list.begin(), list.end(), numbers);
        return made(CT_INTS, numbers, list.size());
    }
    if (value.isDoubleList()) {
        auto list = value.toDoubleVector();
        auto *numbers = allocate<double>(list.size());
        std::copy(list.begin(), list.end(), numbers);
        return made(CT_DOUBLES, numbers, list.size());
    }
    if (value.isString()) {
        const std::string &text = value.toStringRef();
        return made(CT_STRING, ct::copy_text(text), text.size());
    }
    if (value.isDevice()) return made(CT_DEVICE, ct::device_bits(value.toDevice()));
    return made(CT_OBJECT, reinterpret_cast<int64_t>(new IValue(std::move(value))));
}

// One stack a thread, kept between calls so that a call does not allocate it.
thread_local std::vector<IValue> spare_stack;

} // namespace

struct ct_op_s {
    c10::OperatorHandle handle;
    std::vector<Parameter> parameters;
};

ct_op ct_op_find(const char *name) {
    static std::mutex mutex;
    static auto *found = new std::unordered_map<std::string, ct_op>();
    try {
        std::lock_guard<std::mutex> lock(mutex);
        std::string full(name);
        auto known = found->find(full);
        if (known != found->end()) return known->second;
        size_t dot = full.find('.');
        bool overloaded = dot != std::string::npos;
        auto handle = c10::Dispatcher::singleton().findSchema(
            {full.substr(0, dot), overloaded ? full.substr(dot + 1) : std::string()});
        if (!handle.has_value()) return nullptr;
        auto *op = new ct_op_s{*handle, {}};
        for (const auto &argument : handle->schema().arguments()) {
            c10::TypePtr type = argument.type();
            bool optional = type->kind() == c10::TypeKind::OptionalType;
            if (optional) type = type->expectRef<c10::OptionalType>().getElementType();
            op->parameters.push_back(
                {argument.name(), kind_of(type), optional, argument.N().value_or(1), argument.default_value()});
        }
        found->emplace(std::move(full), op);
        return op;
    } catch (...) {
        return nullptr;
    }
}

char *ct_op_schema(ct_op op) {
    try {
        std::ostringstream text;
        text << op->handle.schema();
        return ct::copy_text(text.str());
    } catch (...) {
        return nullptr;
    }
}

ct_error ct_op_call(
    ct_op op, const ct_value *arguments, int32_t count, ct_value *results, int32_t capacity, int32_t *result_count) {
    *result_count = 0;
    // Taken, not borrowed: a call inside a call then simply makes a stack of its own.
    std::vector<IValue> stack = std::move(spare_stack);
    stack.clear();
    ct_error error = ct::guarded([&] {
        const auto &parameters = op->parameters;
        TORCH_CHECK_TYPE(
            static_cast<size_t>(count) <= parameters.size(), "takes ", parameters.size(), " arguments, not ", count);
        stack.reserve(parameters.size());
        for (int32_t i = 0; i < count; ++i) stack.push_back(convert(parameters[i], arguments[i]));
        for (size_t i = count; i < parameters.size(); ++i) {
            TORCH_CHECK_TYPE(parameters[i].fallback.has_value(), "argument '", parameters[i].name, "' is missing");
            stack.push_back(*parameters[i].fallback);
        }
        op->handle.callBoxed(stack);
        TORCH_CHECK(stack.size() <= static_cast<size_t>(capacity), "gives ", stack.size(), " results");
        for (auto &value : stack) results[(*result_count)++] = result(std::move(value));
    });
    stack.clear();
    spare_stack = std::move(stack);
    return error;
}

void ct_object_release(void *object) { delete static_cast<IValue *>(object); }
void ct_free(void *memory) { std::free(memory); }
