#include "CImages.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <zlib.h>

static const uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

static int fail(char *error, const char *reason) {
    snprintf(error, MARTLET_IMAGE_ERROR_SIZE, "%s", reason);
    return -1;
}

static int is_png(const uint8_t *bytes, size_t count) { return count >= 8 && memcmp(bytes, png_magic, 8) == 0; }

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

int martlet_image_header(const uint8_t *bytes, size_t count, martlet_image_info *info, char *error) {
    if (is_png(bytes, count)) {
        if (count < 33 || memcmp(bytes + 12, "IHDR", 4) != 0) return fail(error, "its PNG header is cut short");
        info->width = big_endian(bytes + 16);
        info->height = big_endian(bytes + 20);
        info->channels = bytes[25] == 0 || bytes[25] == 4 ? 1 : 3;
    } else if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) {
        tjhandle handle = tjInitDecompress();
        if (!handle) return fail(error, "there is no memory to decode it");
        int width = 0, height = 0, subsampling = 0, colours = 0;
        int status = tjDecompressHeader3(handle, bytes, count, &width, &height, &subsampling, &colours);
        if (status != 0) fail(error, tjGetErrorStr2(handle));
        tjDestroy(handle);
        if (status != 0) return -1;
        info->width = (uint32_t)width;
        info->height = (uint32_t)height;
        info->channels = colours == TJCS_GRAY ? 1 : 3;
    } else {
        return fail(error, "it is neither PNG nor JPEG");
    }
    if (info->width == 0 || info->height == 0) return fail(error, "its width or height is 0");
    return 0;
}

static int decode_png(const uint8_t *bytes, size_t count, const martlet_image_info *info, int channels, uint8_t *out, char *error) {
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&image, bytes, count)) {
        fail(error, image.message);
        png_image_free(&image);
        return -1;
    }
    if (image.width != info->width || image.height != info->height) {
        png_image_free(&image);
        return fail(error, "its header contradicts itself");
    }
    image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    png_color white = {255, 255, 255};
    if (!png_image_finish_read(&image, &white, out, (png_int_32)(image.width * (unsigned)channels), NULL)) {
        fail(error, image.message);
        png_image_free(&image);
        return -1;
    }
    return 0;
}

static int decode_jpeg(const uint8_t *bytes, size_t count, const martlet_image_info *info, int channels, uint8_t *out, char *error) {
    tjhandle handle = tjInitDecompress();
    if (!handle) return fail(error, "there is no memory to decode it");
    int format = channels == 1 ? TJPF_GRAY : TJPF_RGB;
    int status = tjDecompress2(
        handle, bytes, count, out, (int)info->width, (int)info->width * channels, (int)info->height, format,
        // A file of many scans over a large image would take minutes.
        TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
    if (status != 0) {
        const char *reason = tjGetErrorStr2(handle);
        // Stray bytes between markers do not touch the pixels; every other warning means that some are lost.
        if (tjGetErrorCode(handle) == TJERR_WARNING && strstr(reason, "extraneous bytes")) {
            status = 0;
        } else {
            fail(error, reason);
        }
    }
    tjDestroy(handle);
    return status;
}

int martlet_image_decode(
    const uint8_t *bytes, size_t count, const martlet_image_info *info, int channels, uint8_t *out, char *error) {
    if (is_png(bytes, count)) return decode_png(bytes, count, info, channels, out, error);
    return decode_jpeg(bytes, count, info, channels, out, error);
}

struct martlet_stream {
    gzFile file;
};

martlet_stream *martlet_stream_open(const char *path) {
    gzFile file = gzopen(path, "rb");
    if (!file) return NULL;
    gzbuffer(file, 1 << 18);
    martlet_stream *stream = malloc(sizeof *stream);
    if (!stream) {
        gzclose(file);
        return NULL;
    }
    stream->file = file;
    return stream;
}

long martlet_stream_read(martlet_stream *stream, void *out, unsigned capacity) {
    int count = gzread(stream->file, out, capacity);
    if (count == 0) {
        int code = Z_OK;
        gzerror(stream->file, &code);
        // A gzip file that stops in the middle reads as an end with this code.
        if (code == Z_BUF_ERROR) return -1;
    }
    return count;
}

void martlet_stream_close(martlet_stream *stream) {
    if (!stream) return;
    gzclose_r(stream->file);
    free(stream);
}
