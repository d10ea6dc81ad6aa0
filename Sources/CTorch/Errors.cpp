#include "Internal.h"

namespace ct {

// Returned when there is no memory left for an error of its own; never freed.
static ct_error_s no_memory{CT_ERROR_OUT_OF_MEMORY, "out of memory"};

ct_error make_error(int32_t code, const std::string &message) noexcept {
    try {
        return new ct_error_s{code, message};
    } catch (...) {
        return &no_memory;
    }
}

static ct_error from_torch(int32_t code, const c10::Error &error) noexcept {
    const char *text = error.what_without_backtrace();
    // The CPU allocator throws a plain error; only its words say what it was.
    if (std::strstr(text, "DefaultCPUAllocator") != nullptr || std::strstr(text, "can't allocate memory") != nullptr) {
        code = CT_ERROR_OUT_OF_MEMORY;
    }
    return make_error(code, text);
}

ct_error current_error() noexcept {
    try {
        throw;
    } catch (const c10::OutOfMemoryError &error) {
        return from_torch(CT_ERROR_OUT_OF_MEMORY, error);
    } catch (const c10::IndexError &error) {
        return from_torch(CT_ERROR_INDEX, error);
    } catch (const c10::ValueError &error) {
        return from_torch(CT_ERROR_VALUE, error);
    } catch (const c10::TypeError &error) {
        return from_torch(CT_ERROR_TYPE, error);
    } catch (const c10::Error &error) {
        return from_torch(CT_ERROR_OTHER, error);
    } catch (const std::bad_alloc &) {
        return &no_memory;
    } catch (const std::exception &error) {
        return make_error(CT_ERROR_OTHER, error.what());
    } catch (...) {
        return make_error(CT_ERROR_OTHER, "an unknown failure inside libtorch");
    }
}

} // namespace ct

int32_t ct_error_code(ct_error error) { return error->code; }
const char *ct_error_message(ct_error error) { return error->message.c_str(); }
void ct_error_free(ct_error error) {
    if (error != nullptr && error != &ct::no_memory) delete error;
}
