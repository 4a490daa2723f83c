#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/// HDF5 opens files by name; this name leads to the very file that the caller holds and has
/// verified, whatever stands under its path by now.
static void descriptor_path(int descriptor, char path[32]) {
  snprintf(path, 32, "/proc/self/fd/%d", descriptor);
}

static hid_t access_properties(void) {
  const hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fclose_degree(properties, H5F_CLOSE_STRONG);
  // Complete files are never changed, incomplete ones have our own lock.
  H5Pset_file_locking(properties, false, true);
  return properties;
}

/// Metadata comes in blocks of this size, so that alignment of large pieces leaves few gaps.
enum { metadata_block = 64 << 10 };

/// HDF5's usual driver resolves the name of an open file, which fails once another file has taken
/// its place or when it never had one; the driver on C's streams takes it as it is.
static void accept_nameless(hid_t access) { H5Pset_fapl_stdio(access); }

/// Takes over `access`.
static hid_t create(int descriptor, uint64_t user_block, hid_t access, char *fault) {
  char path[32];
  descriptor_path(descriptor, path);
  H5Pset_meta_block_size(access, metadata_block);
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_userblock(creation, user_block);
  H5Pset_obj_track_times(creation, false);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
  if (file < 0) mmoe_h5_fail_library(fault, "HDF5 cannot create the file", "");
  H5Pclose(creation);
  H5Pclose(access);
  return file;
}

mmoe_h5_id mmoe_h5_create(int descriptor, uint64_t user_block, uint64_t alignment, char *fault) {
  const hid_t access = access_properties();
  H5Pset_alignment(access, alignment, alignment);
  return create(descriptor, user_block, access, fault);
}

hid_t mmoe_h5_create_nameless(int descriptor, char *fault) {
  const hid_t access = access_properties();
  accept_nameless(access);
  return create(descriptor, 0, access, fault);
}

mmoe_h5_id mmoe_h5_extend(int descriptor, uint64_t alignment, char *fault) {
  char path[32];
  descriptor_path(descriptor, path);
  const hid_t access = access_properties();
  H5Pset_alignment(access, 1, alignment);
  const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
  if (file < 0) mmoe_h5_fail_library(fault, "HDF5 cannot continue the file", "");
  H5Pclose(access);
  return file;
}

/// Takes over `access`.
static hid_t open_to_read(int descriptor, hid_t access, char *fault) {
  char path[32];
  descriptor_path(descriptor, path);
  const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
  if (file < 0)
    mmoe_h5_fail_library(fault, "not an HDF5 file, or a damaged or incomplete one", "");
  H5Pclose(access);
  return file;
}

mmoe_h5_id mmoe_h5_open(int descriptor, char *fault) {
  const hid_t access = access_properties();
  accept_nameless(access);
  return open_to_read(descriptor, access, fault);
}

hid_t mmoe_h5_open_named(int descriptor, char *fault) {
  return open_to_read(descriptor, access_properties(), fault);
}

bool mmoe_h5_close(mmoe_h5_id file, char *fault) {
  // Nearly all failures happen in the flush, while the file can still be discarded.
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fclose(file) < 0)
    return mmoe_h5_fail_library(fault, "HDF5 cannot complete the file", "");
  return true;
}

void mmoe_h5_discard(mmoe_h5_id file) {
  // HDF5 insists on writing its metadata when it closes a file and keeps the file for ever where
  // that fails, so the rest goes to memory: its descriptor is pointed at a file there.
  void *handle = NULL;
  const int memory = memfd_create("discarded", MFD_CLOEXEC);
  if (memory >= 0) {
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 && handle)
      dup2(memory, *(const int *)handle);
    close(memory);
  }
  H5Fclose(file);
}

void mmoe_h5_end_reading(mmoe_h5_id file) { H5Fclose(file); }
