// HDF5 (Debian: libhdf5-dev) and XXH3 (libxxhash-dev) behind plain functions: HDF5's macros hide
// statements that Swift cannot import, and a foreign file is only ever opened in a child process.
//
// No function here may run beside another one: the caller holds one lock around all of them.
// Functions that can fail return false (or a negative id) and write one line without a file name
// into `fault`, a buffer of MMOE_H5_FAULT_SIZE bytes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MMOE_H5_FAULT_SIZE 768
#define MMOE_H5_MAX_RANK 8

/// A file or an object inside one; valid ids are not negative.
typedef int64_t mmoe_h5_id;

/// The element types that are read and written; the values are indices and not stored anywhere.
typedef enum {
  MMOE_H5_FLOAT16 = 0,
  MMOE_H5_FLOAT32,
  MMOE_H5_FLOAT64,
  MMOE_H5_INT8,
  MMOE_H5_INT16,
  MMOE_H5_INT32,
  MMOE_H5_INT64,
  MMOE_H5_UINT8,
  MMOE_H5_UINT16,
  MMOE_H5_UINT32,
  MMOE_H5_UINT64,
} mmoe_h5_type;

/// What is known of a dataset without reading it.
typedef struct {
  mmoe_h5_type type;
  int rank;
  uint64_t shape[MMOE_H5_MAX_RANK];
  /// Product of the shape.
  uint64_t count;
  /// Place of contiguous storage in the file, user block included; UINT64_MAX when there is none, or
  /// its elements are not stored as mmoe_h5_write stores them.
  uint64_t offset;
} mmoe_h5_dataset;

// ---- library.c

/// Must open every locked section: HDF5's settings for errors belong to a thread.
void mmoe_h5_enter(void);

// ---- file.c

/// Makes an empty file in `descriptor` (open for writing, moved by nobody else) behind a user block
/// of `user_block` bytes. Storage of `alignment` bytes or more starts at a multiple of `alignment`.
mmoe_h5_id mmoe_h5_create(int descriptor, uint64_t user_block, uint64_t alignment, char *fault);

/// Opens a file of mmoe_h5_create again; from now on every storage starts at a multiple of
/// `alignment`.
mmoe_h5_id mmoe_h5_extend(int descriptor, uint64_t alignment, char *fault);

/// Opens a file for reading; ended by mmoe_h5_end_reading. `descriptor` may be closed afterwards.
mmoe_h5_id mmoe_h5_open(int descriptor, char *fault);

void mmoe_h5_end_reading(mmoe_h5_id file);

/// Writes out what HDF5 holds back and closes; after a failure call mmoe_h5_discard.
bool mmoe_h5_close(mmoe_h5_id file, char *fault);

/// Closes a file that was being written, without writing to it any more: its disk may be full.
void mmoe_h5_discard(mmoe_h5_id file);

// ---- walk.c

/// Called for every group (`dataset` NULL) and dataset by increasing name, parents first; returns
/// false to stop, with `fault` set. `path` has no leading slash.
typedef bool (*mmoe_h5_visit)(void *context, const char *path, mmoe_h5_id object,
                              const mmoe_h5_dataset *dataset, char *fault);

/// Called for every external link, which is not followed: its path, the file and the object that it
/// names; returns false to stop, with `fault` set.
typedef bool (*mmoe_h5_visit_external)(void *context, const char *path, const char *file,
                                       const char *object, char *fault);

/// Visits the whole tree and refuses what could read other files, run plugins or exhaust memory:
/// links that are not hard links (external ones only with `external` NULL), virtual and external
/// storage, filters that are not built in, element types outside mmoe_h5_type, ranks above
/// MMOE_H5_MAX_RANK, more bytes than `file_bytes` accounts for.
bool mmoe_h5_walk(mmoe_h5_id file, uint64_t file_bytes, mmoe_h5_visit visit,
                  mmoe_h5_visit_external external, void *context, char *fault);

// ---- data.c

/// Reads a whole dataset that mmoe_h5_walk has accepted, converted to `type`.
bool mmoe_h5_read(mmoe_h5_id file, const char *path, mmoe_h5_type type, uint64_t count, void *values,
                  char *fault);

/// Creates a contiguous little-endian dataset, and the groups above it. With `values` NULL its
/// storage is left open until mmoe_h5_fill.
bool mmoe_h5_write(mmoe_h5_id file, const char *path, mmoe_h5_type type, int rank,
                   const uint64_t *shape, const void *values, char *fault);

/// Creates such a dataset whose values the caller writes: `place` is where they belong in the file,
/// user block included.
bool mmoe_h5_reserve(mmoe_h5_id file, const char *path, mmoe_h5_type type, int rank,
                     const uint64_t *shape, uint64_t *place, char *fault);

/// Writes the values of a dataset that exists.
bool mmoe_h5_fill(mmoe_h5_id file, const char *path, mmoe_h5_type type, const void *values,
                  char *fault);

/// Creates a link to the object `path` of another file, and the groups above it.
bool mmoe_h5_link(mmoe_h5_id file, const char *path, const char *other, char *fault);

// ---- attributes.c; `object` is a path, "/" the root

bool mmoe_h5_write_string(mmoe_h5_id file, const char *object, const char *name, const char *text,
                          char *fault);
bool mmoe_h5_write_number(mmoe_h5_id file, const char *object, const char *name, mmoe_h5_type type,
                          const void *value, char *fault);

typedef enum {
  MMOE_H5_ATTRIBUTE_NONE = 0,
  MMOE_H5_ATTRIBUTE_STRING,
  MMOE_H5_ATTRIBUTE_INTEGER,
  MMOE_H5_ATTRIBUTE_FLOAT,
  /// Exists, but is not one string or one number.
  MMOE_H5_ATTRIBUTE_OTHER,
} mmoe_h5_attribute_kind;

/// One attribute; `text` is freed by mmoe_h5_free.
typedef struct {
  mmoe_h5_attribute_kind kind;
  char *text;
  int64_t integer;
  double number;
} mmoe_h5_attribute;

/// Reads one string or number; a missing attribute is no failure but of kind NONE.
bool mmoe_h5_read_attribute(mmoe_h5_id file, const char *object, const char *name,
                            mmoe_h5_attribute *attribute, char *fault);

/// Names of an object's attributes by increasing name, each ended by a zero byte, the last one by
/// two; NULL on failure. Freed by mmoe_h5_free.
char *mmoe_h5_attribute_names(mmoe_h5_id file, const char *object, char *fault);

void mmoe_h5_free(void *memory);

// ---- foreign.c

/// Copies a file that nobody has verified into a clean one in memory, in a child process: whatever
/// the HDF5 library does on malformed input happens there. Returns the descriptor of the copy, or
/// -1.
int mmoe_h5_copy_foreign(int descriptor, uint64_t file_bytes, double seconds, char *fault);

/// Walks through a file's tree and attributes in a child process; false where that fails or crashes.
/// Reading the same bytes again does the same.
bool mmoe_h5_probe(int descriptor, uint64_t file_bytes, double seconds, char *fault);

// ---- checksum.c

/// XXH3-64 of `count` bytes.
uint64_t mmoe_checksum(const void *bytes, size_t count);

/// XXH3-64 of a file from `begin` to `end`; returns 0, an errno, or -1 when the file is shorter.
int mmoe_checksum_file(int descriptor, uint64_t begin, uint64_t end, uint64_t *checksum);

/// XXH3-64 of each piece into which the multiples of `block` cut a file from `begin` to `end`;
/// returns as mmoe_checksum_file. May run on several threads.
int mmoe_digest_blocks(int descriptor, uint64_t block, uint64_t begin, uint64_t end,
                       uint64_t *digests);

// ---- system.c

/// Another descriptor of the same file that writes past the page cache; -1 where the file system
/// has no such thing.
int mmoe_open_direct(int descriptor);

/// Asks for room on the disk up to `end`, in one piece where that is to be had; the file keeps its length, and a
/// disk without room says so when it is written.
void mmoe_keep_room(int descriptor, uint64_t begin, uint64_t end);

/// Writes all of `count` bytes at `offset`; returns 0 or an errno. A direct descriptor that turns out not to
/// take them becomes an ordinary one.
int mmoe_write_all(int descriptor, const void *bytes, size_t count, uint64_t offset);

/// Reads all of `count` bytes at `offset`; returns 0, an errno, or -1 when the file is shorter.
int mmoe_read_all(int descriptor, void *bytes, size_t count, uint64_t offset);
