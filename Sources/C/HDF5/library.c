#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

void mmoe_h5_enter(void) {
  static bool prepared = false;
  if (!prepared) {
    prepared = true;
    // Whatever is still open at exit is a temporary file; flushing it while another thread may be
    // inside the library is worth nothing.
    H5dont_atexit();
    H5open();
    H5PLset_loading_state(0);
  }
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

bool mmoe_h5_fail(char *fault, const char *format, ...) {
  if (fault[0]) return false;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(fault, MMOE_H5_FAULT_SIZE, format, arguments);
  va_end(arguments);
  return false;
}

/// Takes the first (innermost) entry of the error stack.
static herr_t first_entry(unsigned index, const H5E_error2_t *entry, void *context) {
  (void)index;
  snprintf(context, 256, "%s", entry->desc ? entry->desc : "unknown error");
  return 1;
}

bool mmoe_h5_fail_library(char *fault, const char *what, const char *path) {
  char text[256] = "unknown error";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_entry, text);
  // A failed system call is described with time, descriptor and addresses; the user needs its
  // reason.
  const char *reason = text;
  char *quoted = strstr(text, "error message = '");
  if (quoted) {
    reason = quoted + strlen("error message = '");
    char *end = strchr(reason, '\'');
    if (end) *end = 0;
  }
  return path[0] ? mmoe_h5_fail(fault, "%s '%s': %s", what, path, reason)
                 : mmoe_h5_fail(fault, "%s: %s", what, reason);
}

hid_t mmoe_h5_memory_type(mmoe_h5_type type) {
  switch (type) {
    case MMOE_H5_FLOAT16: return H5T_NATIVE_FLOAT;
    case MMOE_H5_FLOAT32: return H5T_NATIVE_FLOAT;
    case MMOE_H5_FLOAT64: return H5T_NATIVE_DOUBLE;
    case MMOE_H5_INT8: return H5T_NATIVE_INT8;
    case MMOE_H5_INT16: return H5T_NATIVE_INT16;
    case MMOE_H5_INT32: return H5T_NATIVE_INT32;
    case MMOE_H5_INT64: return H5T_NATIVE_INT64;
    case MMOE_H5_UINT8: return H5T_NATIVE_UINT8;
    case MMOE_H5_UINT16: return H5T_NATIVE_UINT16;
    case MMOE_H5_UINT32: return H5T_NATIVE_UINT32;
    case MMOE_H5_UINT64: return H5T_NATIVE_UINT64;
  }
  return H5I_INVALID_HID;
}

hid_t mmoe_h5_file_type(mmoe_h5_type type) {
  switch (type) {
    case MMOE_H5_FLOAT16: return H5T_IEEE_F32LE;
    case MMOE_H5_FLOAT32: return H5T_IEEE_F32LE;
    case MMOE_H5_FLOAT64: return H5T_IEEE_F64LE;
    case MMOE_H5_INT8: return H5T_STD_I8LE;
    case MMOE_H5_INT16: return H5T_STD_I16LE;
    case MMOE_H5_INT32: return H5T_STD_I32LE;
    case MMOE_H5_INT64: return H5T_STD_I64LE;
    case MMOE_H5_UINT8: return H5T_STD_U8LE;
    case MMOE_H5_UINT16: return H5T_STD_U16LE;
    case MMOE_H5_UINT32: return H5T_STD_U32LE;
    case MMOE_H5_UINT64: return H5T_STD_U64LE;
  }
  return H5I_INVALID_HID;
}

bool mmoe_h5_classify(hid_t type, mmoe_h5_type *element) {
  const size_t size = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      if (size != 2 && size != 4 && size != 8) return false;
      *element = size == 2 ? MMOE_H5_FLOAT16 : size == 4 ? MMOE_H5_FLOAT32 : MMOE_H5_FLOAT64;
      return true;
    case H5T_INTEGER: {
      if (size != 1 && size != 2 && size != 4 && size != 8) return false;
      const int step = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
      *element = (H5Tget_sign(type) == H5T_SGN_NONE ? MMOE_H5_UINT8 : MMOE_H5_INT8) + step;
      return true;
    }
    default: return false;
  }
}

const char *mmoe_h5_class_name(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: return "integers of an unusual size";
    case H5T_FLOAT: return "floats of an unusual size";
    case H5T_TIME: return "times";
    case H5T_STRING: return "strings";
    case H5T_BITFIELD: return "bit fields";
    case H5T_OPAQUE: return "opaque bytes";
    case H5T_COMPOUND: return "compounds";
    case H5T_REFERENCE: return "object references";
    case H5T_ENUM: return "enumerations";
    case H5T_VLEN: return "variable-length lists";
    case H5T_ARRAY: return "arrays";
    default: return "an unknown type";
  }
}

void mmoe_h5_free(void *memory) { H5free_memory(memory); }
