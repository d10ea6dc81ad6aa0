#pragma once
#include <zlib.h>

/// `inflateInit2` is a macro; 47 takes gzip and zlib streams alike.
static inline int martlet_inflate_init(z_stream *stream) { return inflateInit2(stream, 47); }
