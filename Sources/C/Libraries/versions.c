#include "CLibraries.h"

#include <archive.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb.h>
#include <hdf5.h>
#include <png.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <webp/decode.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>
// After stdio.h, which it takes for granted.
#include <jpeglib.h>

static char text[64];

static const char *numbers(unsigned major, unsigned minor, unsigned patch) {
  snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
  return text;
}

static const char *hdf5(void) {
  unsigned major = 0, minor = 0, patch = 0;
  H5get_libversion(&major, &minor, &patch);
  return numbers(major, minor, patch);
}

// The library cannot be asked; programs of one major version of it run with any later one.
#define STRING(value) #value
#define EXPANDED(value) STRING(value)
static const char *jpeg(void) { return EXPANDED(LIBJPEG_TURBO_VERSION); }

static const char *png(void) { return png_get_libpng_ver(NULL); }

static const char *webp(void) {
  int version = WebPGetDecoderVersion();
  return numbers(version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF);
}

static const char *archive(void) {
  const char *words = archive_version_string();
  const char *space = strchr(words, ' ');
  return space ? space + 1 : words;
}

static const char *freetype(void) {
  FT_Library library;
  FT_Int major = 0, minor = 0, patch = 0;
  if (FT_Init_FreeType(&library) == 0) {
    FT_Library_Version(library, &major, &minor, &patch);
    FT_Done_FreeType(library);
  }
  return numbers(major, minor, patch);
}

static const char *sndfile(void) {
  const char *words = sf_version_string();
  return strncmp(words, "libsndfile-", 11) == 0 ? words + 11 : words;
}

static const char *xxhash(void) {
  unsigned version = XXH_versionNumber();
  return numbers(version / 10000, version / 100 % 100, version % 100);
}

static const struct {
  const char *name;
  const char *(*version)(void);
} libraries[] = {
    {"HDF5", hdf5},           {"libpng", png},           {"libjpeg-turbo", jpeg},
    {"libwebp", webp},        {"libarchive", archive},   {"FreeType", freetype},
    {"HarfBuzz", hb_version_string}, {"libsndfile", sndfile}, {"zlib", zlibVersion},
    {"zstd", ZSTD_versionString}, {"xxHash", xxhash},
};

int mmoe_library_count(void) { return sizeof libraries / sizeof *libraries; }
const char *mmoe_library_name(int index) { return libraries[index].name; }
const char *mmoe_library_version(int index) { return libraries[index].version(); }
