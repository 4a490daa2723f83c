// Shared by the files of this shim.
#pragma once

#include <hdf5.h>

#include "CHDF5.h"

/// Writes one line into `fault`; always returns false. The first fault stays: it is nearest the
/// cause.
bool mmoe_h5_fail(char *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Fails with what the HDF5 library itself says, at its innermost level, after `what` and `path`.
bool mmoe_h5_fail_library(char *fault, const char *what, const char *path);

/// Makes an empty file in a descriptor that no path leads to.
hid_t mmoe_h5_create_nameless(int descriptor, char *fault);

/// As mmoe_h5_open for a file that has a name; what is wrong with a file is known only this way,
/// since the driver for nameless ones clears the errors when it closes.
hid_t mmoe_h5_open_named(int descriptor, char *fault);

/// Type of elements in memory, and in files that we write (little-endian).
hid_t mmoe_h5_memory_type(mmoe_h5_type type);
hid_t mmoe_h5_file_type(mmoe_h5_type type);

/// The type of the elements of a file's `type` (not closed); false for anything but plain numbers.
bool mmoe_h5_classify(hid_t type, mmoe_h5_type *element);

const char *mmoe_h5_class_name(hid_t type);

/// Attributes of an object that is already open; as the public functions.
bool mmoe_h5_read_attribute_of(hid_t object, const char *name, mmoe_h5_attribute *attribute,
                               char *fault);
bool mmoe_h5_write_string_to(hid_t object, const char *name, const char *text, char *fault);
bool mmoe_h5_write_number_to(hid_t object, const char *name, mmoe_h5_type type, const void *value,
                             char *fault);
