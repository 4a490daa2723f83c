#include <stdlib.h>
#include <string.h>

#include "internal.h"

/// Longest string of fixed length; HDF5 keeps such an attribute in the object's header.
enum { max_fixed_string = 64 << 10 };

/// Strings of variable length: h5py reads them as `str`, and they may be longer than a header.
static hid_t string_type(void) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

static bool write_scalar(hid_t object, const char *name, hid_t file_type, hid_t memory_type,
                         const void *value, char *fault) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t creation = H5Pcreate(H5P_ATTRIBUTE_CREATE);
  H5Pset_char_encoding(creation, H5T_CSET_UTF8);
  const hid_t attribute = H5Acreate2(object, name, file_type, space, creation, H5P_DEFAULT);
  const bool written = attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;
  if (!written) mmoe_h5_fail_library(fault, "cannot write attribute", name);
  if (attribute >= 0) H5Aclose(attribute);
  H5Pclose(creation);
  H5Sclose(space);
  return written;
}

bool mmoe_h5_write_string_to(hid_t object, const char *name, const char *text, char *fault) {
  const hid_t type = string_type();
  const bool written = write_scalar(object, name, type, type, &text, fault);
  H5Tclose(type);
  return written;
}

bool mmoe_h5_write_number_to(hid_t object, const char *name, mmoe_h5_type type, const void *value,
                             char *fault) {
  return write_scalar(object, name, mmoe_h5_file_type(type), mmoe_h5_memory_type(type), value, fault);
}

static hid_t open_object(hid_t file, const char *path, char *fault) {
  const hid_t object = H5Oopen(file, path, H5P_DEFAULT);
  if (object < 0) mmoe_h5_fail_library(fault, "object", path);
  return object;
}

bool mmoe_h5_write_string(mmoe_h5_id file, const char *object, const char *name, const char *text,
                          char *fault) {
  const hid_t id = open_object(file, object, fault);
  if (id < 0) return false;
  const bool written = mmoe_h5_write_string_to(id, name, text, fault);
  H5Oclose(id);
  return written;
}

bool mmoe_h5_write_number(mmoe_h5_id file, const char *object, const char *name, mmoe_h5_type type,
                          const void *value, char *fault) {
  const hid_t id = open_object(file, object, fault);
  if (id < 0) return false;
  const bool written = mmoe_h5_write_number_to(id, name, type, value, fault);
  H5Oclose(id);
  return written;
}

/// The text of a string attribute in memory of the HDF5 library's allocator, or NULL.
static char *read_text(hid_t attribute, hid_t type) {
  char *text = NULL;
  if (H5Tis_variable_str(type) > 0) {
    const hid_t memory = string_type();
    // Without this the text of an ASCII attribute would have to be converted, which HDF5 refuses.
    H5Tset_cset(memory, H5Tget_cset(type));
    if (H5Aread(attribute, memory, &text) < 0) text = NULL;
    H5Tclose(memory);
    return text ? text : H5allocate_memory(1, true);
  }
  const size_t size = H5Tget_size(type);
  if (size > max_fixed_string) return NULL;
  text = H5allocate_memory(size + 1, true);
  if (text && H5Aread(attribute, type, text) < 0) {
    H5free_memory(text);
    return NULL;
  }
  return text;
}

static bool read_value(hid_t attribute, hid_t type, mmoe_h5_attribute *out) {
  mmoe_h5_type element;
  if (H5Tget_class(type) == H5T_STRING) {
    out->kind = MMOE_H5_ATTRIBUTE_STRING;
    out->text = read_text(attribute, type);
    return out->text != NULL;
  }
  if (!mmoe_h5_classify(type, &element)) return true;
  if (element <= MMOE_H5_FLOAT64) {
    out->kind = MMOE_H5_ATTRIBUTE_FLOAT;
    return H5Aread(attribute, H5T_NATIVE_DOUBLE, &out->number) >= 0;
  }
  // HDF5 would make the largest signed number of a larger one.
  uint64_t large = 0;
  if (element == MMOE_H5_UINT64 && H5Aread(attribute, H5T_NATIVE_UINT64, &large) >= 0 && large > INT64_MAX) return true;
  out->kind = MMOE_H5_ATTRIBUTE_INTEGER;
  return H5Aread(attribute, H5T_NATIVE_INT64, &out->integer) >= 0;
}

bool mmoe_h5_read_attribute_of(hid_t object, const char *name, mmoe_h5_attribute *out, char *fault) {
  *out = (mmoe_h5_attribute){0};
  const htri_t exists = H5Aexists(object, name);
  if (exists < 0) return mmoe_h5_fail_library(fault, "attribute", name);
  if (!exists) return true;
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return mmoe_h5_fail_library(fault, "attribute", name);
  out->kind = MMOE_H5_ATTRIBUTE_OTHER;
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  bool read = type >= 0 && space >= 0;
  if (read && H5Sget_simple_extent_npoints(space) == 1) read = read_value(attribute, type, out);
  if (!read) mmoe_h5_fail_library(fault, "attribute", name);
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return read;
}

bool mmoe_h5_read_attribute(mmoe_h5_id file, const char *object, const char *name,
                            mmoe_h5_attribute *attribute, char *fault) {
  const hid_t id = open_object(file, object, fault);
  if (id < 0) return false;
  const bool read = mmoe_h5_read_attribute_of(id, name, attribute, fault);
  H5Oclose(id);
  return read;
}

/// Names gathered one after the other, each with its zero byte.
typedef struct {
  char *bytes;
  size_t count;
} name_list;

static herr_t add_name(hid_t object, const char *name, const H5A_info_t *info, void *context) {
  (void)object, (void)info;
  name_list *list = context;
  const size_t length = strlen(name) + 1;
  char *bytes = H5resize_memory(list->bytes, list->count + length + 1);
  if (!bytes) return -1;
  memcpy(bytes + list->count, name, length);
  list->bytes = bytes;
  list->count += length;
  bytes[list->count] = 0;
  return 0;
}

char *mmoe_h5_attribute_names(mmoe_h5_id file, const char *object, char *fault) {
  const hid_t id = open_object(file, object, fault);
  if (id < 0) return NULL;
  name_list list = {.bytes = H5allocate_memory(2, true)};
  const herr_t status = H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, &list);
  H5Oclose(id);
  if (status >= 0) return list.bytes;
  mmoe_h5_fail_library(fault, "attributes of", object);
  H5free_memory(list.bytes);
  return NULL;
}
