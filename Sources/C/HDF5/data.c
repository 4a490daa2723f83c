#include "internal.h"

bool mmoe_h5_read(mmoe_h5_id file, const char *path, mmoe_h5_type type, uint64_t count, void *values,
                  char *fault) {
  const hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT);
  if (dataset < 0) return mmoe_h5_fail_library(fault, "dataset", path);
  const hid_t space = H5Dget_space(dataset);
  const hssize_t found = H5Sget_simple_extent_npoints(space);
  bool read = false;
  if (found < 0 || (uint64_t)found != count)
    mmoe_h5_fail(fault, "dataset '%s': %lld elements found, %llu expected", path, (long long)found,
                 (unsigned long long)count);
  else if (H5Dread(dataset, mmoe_h5_memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    mmoe_h5_fail_library(fault, "dataset", path);
  else
    read = true;
  if (space >= 0) H5Sclose(space);
  H5Dclose(dataset);
  return read;
}

/// Creates the dataset, with storage now or when it is written; the caller closes it.
static hid_t create(hid_t file, const char *path, mmoe_h5_type type, int rank,
                    const uint64_t *shape, H5D_alloc_time_t storage) {
  hsize_t extent[MMOE_H5_MAX_RANK];
  for (int i = 0; i < rank; ++i) extent[i] = shape[i];
  const hid_t space = rank ? H5Screate_simple(rank, extent, NULL) : H5Screate(H5S_SCALAR);
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_layout(creation, H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation, storage);
  H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
  // The same content gives the same bytes, so no times are stored.
  H5Pset_obj_track_times(creation, false);
  const hid_t links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  H5Pset_char_encoding(links, H5T_CSET_UTF8);
  const hid_t dataset =
      space < 0 ? H5I_INVALID_HID
                : H5Dcreate2(file, path, mmoe_h5_file_type(type), space, links, creation, H5P_DEFAULT);
  H5Pclose(links);
  H5Pclose(creation);
  if (space >= 0) H5Sclose(space);
  return dataset;
}

bool mmoe_h5_link(mmoe_h5_id file, const char *path, const char *other, char *fault) {
  const hid_t links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  H5Pset_char_encoding(links, H5T_CSET_UTF8);
  const herr_t status = H5Lcreate_external(other, path, file, path, links, H5P_DEFAULT);
  H5Pclose(links);
  return status >= 0 || mmoe_h5_fail_library(fault, "cannot write link", path);
}

/// Writes the whole dataset and closes it.
static bool write_and_close(hid_t dataset, const char *path, mmoe_h5_type type, const void *values,
                            char *fault) {
  bool done = dataset >= 0;
  if (done && values)
    done = H5Dwrite(dataset, mmoe_h5_memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
  if (!done) mmoe_h5_fail_library(fault, "cannot write dataset", path);
  if (dataset >= 0) H5Dclose(dataset);
  return done;
}

static bool check_rank(const char *path, int rank, char *fault) {
  return rank <= MMOE_H5_MAX_RANK ||
         mmoe_h5_fail(fault, "cannot write dataset '%s': rank %d; expected at most %d", path, rank,
                      MMOE_H5_MAX_RANK);
}

bool mmoe_h5_write(mmoe_h5_id file, const char *path, mmoe_h5_type type, int rank,
                   const uint64_t *shape, const void *values, char *fault) {
  return check_rank(path, rank, fault) &&
         write_and_close(create(file, path, type, rank, shape, H5D_ALLOC_TIME_LATE), path, type,
                         values, fault);
}

bool mmoe_h5_reserve(mmoe_h5_id file, const char *path, mmoe_h5_type type, int rank,
                     const uint64_t *shape, uint64_t *place, char *fault) {
  if (!check_rank(path, rank, fault)) return false;
  const hid_t dataset = create(file, path, type, rank, shape, H5D_ALLOC_TIME_EARLY);
  const haddr_t address = dataset < 0 ? HADDR_UNDEF : H5Dget_offset(dataset);
  *place = address;
  if (address == HADDR_UNDEF) mmoe_h5_fail_library(fault, "cannot write dataset", path);
  if (dataset >= 0) H5Dclose(dataset);
  return address != HADDR_UNDEF;
}

bool mmoe_h5_fill(mmoe_h5_id file, const char *path, mmoe_h5_type type, const void *values,
                  char *fault) {
  return write_and_close(H5Dopen2(file, path, H5P_DEFAULT), path, type, values, fault);
}
