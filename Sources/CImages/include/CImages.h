#ifndef MARTLET_CIMAGES_H
#define MARTLET_CIMAGES_H

#include <stddef.h>
#include <stdint.h>

/// What an image file says about itself before anything is decoded.
typedef struct {
    uint32_t width;
    uint32_t height;
    /// 1 grey, 3 colour.
    int channels;
} martlet_image_info;

enum { MARTLET_IMAGE_ERROR_SIZE = 256 };

/// Reads the header of a PNG or JPEG. Returns 0, or -1 with the reason in `error` (MARTLET_IMAGE_ERROR_SIZE bytes).
int martlet_image_header(const uint8_t *bytes, size_t count, martlet_image_info *info, char *error);

/// Decodes into `out`, which holds height * width * channels bytes, row by row; `channels` is 1 or 3.
/// Returns 0, or -1 with the reason in `error`.
int martlet_image_decode(
    const uint8_t *bytes, size_t count, const martlet_image_info *info, int channels, uint8_t *out, char *error);

/// A file opened for reading, inflated on the way where it is gzipped. NULL where it cannot be opened.
typedef struct martlet_stream martlet_stream;
martlet_stream *martlet_stream_open(const char *path);
/// Up to `capacity` bytes; 0 at the end, -1 for a fault of the disk or of the compressed data.
long martlet_stream_read(martlet_stream *stream, void *out, unsigned capacity);
void martlet_stream_close(martlet_stream *stream);

#endif
