#include <stdio.h>
#include <string.h>

#include "internal.h"

// Limits that no honest file comes near. Hard links can form cycles, and many paths to one object:
// depth and number end such a walk.
enum {
  max_depth = 64,
  max_objects = 1 << 20,
  max_path = 1024,
  // Most that deflate can expand.
  max_expansion = 1032,
};
static const uint64_t max_expanded_bytes = UINT64_C(4) << 30;

typedef struct {
  uint64_t file_bytes;
  // Bytes that datasets stored plainly and in chunks have claimed so far.
  uint64_t plain_bytes, expanded_bytes;
  unsigned depth, objects;
  char path[max_path];
  mmoe_h5_visit visit;
  mmoe_h5_visit_external external;
  void *context;
  char *fault;
} walk;

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context);

static bool check_filters(walk *w, hid_t creation) {
  const int filters = H5Pget_nfilters(creation);
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    char name[64] = "";
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
        filter != H5Z_FILTER_FLETCHER32)
      return mmoe_h5_fail(w->fault,
                          "dataset '%s': filter %d (%.60s) is refused; expected deflate, shuffle or "
                          "fletcher32",
                          w->path, (int)filter, name);
  }
  return filters >= 0 || mmoe_h5_fail_library(w->fault, "filters of dataset", w->path);
}

/// Adds `bytes` to what datasets have claimed of a budget.
static bool claim(walk *w, uint64_t *claimed, uint64_t bytes, uint64_t budget) {
  if (bytes > budget || *claimed > budget - bytes)
    return mmoe_h5_fail(w->fault,
                        "dataset '%s': %llu bytes of values are more than a file of %llu bytes can "
                        "hold; the file is malformed",
                        w->path, (unsigned long long)bytes, (unsigned long long)w->file_bytes);
  *claimed += bytes;
  return true;
}

static bool check_storage(walk *w, hid_t creation, uint64_t bytes, size_t element) {
  switch (H5Pget_layout(creation)) {
    case H5D_COMPACT: return claim(w, &w->plain_bytes, bytes, w->file_bytes);
    case H5D_CONTIGUOUS:
      if (H5Pget_external_count(creation) != 0)
        return mmoe_h5_fail(w->fault,
                            "dataset '%s': its values are in other files, which is refused; "
                            "expected them in this file",
                            w->path);
      return claim(w, &w->plain_bytes, bytes, w->file_bytes);
    case H5D_CHUNKED: {
      hsize_t chunk[H5S_MAX_RANK];
      const int rank = H5Pget_chunk(creation, H5S_MAX_RANK, chunk);
      uint64_t chunk_bytes = element;
      for (int i = 0; i < rank; ++i)
        if (__builtin_mul_overflow(chunk_bytes, (uint64_t)chunk[i], &chunk_bytes))
          chunk_bytes = UINT64_MAX;
      uint64_t budget = max_expanded_bytes, none = 0;
      if (w->file_bytes < budget / max_expansion) budget = w->file_bytes * max_expansion;
      return check_filters(w, creation) && claim(w, &none, chunk_bytes, budget) &&
             claim(w, &w->expanded_bytes, bytes, budget);
    }
    case H5D_VIRTUAL:
      return mmoe_h5_fail(w->fault,
                          "dataset '%s': virtual storage is refused; expected values in this file",
                          w->path);
    default: return mmoe_h5_fail(w->fault, "dataset '%s': unknown storage layout", w->path);
  }
}

/// Fills in `d`; the ids are the dataset's own.
static bool describe(walk *w, hid_t type, hid_t space, hid_t creation, mmoe_h5_dataset *d) {
  if (type < 0 || space < 0 || creation < 0)
    return mmoe_h5_fail_library(w->fault, "dataset", w->path);
  if (!mmoe_h5_classify(type, &d->type))
    return mmoe_h5_fail(w->fault, "dataset '%s': holds %s, which are refused; expected numbers",
                        w->path, mmoe_h5_class_name(type));
  d->rank = H5Sget_simple_extent_ndims(space);
  if (d->rank < 0 || d->rank > MMOE_H5_MAX_RANK)
    return mmoe_h5_fail(w->fault, "dataset '%s': rank %d; expected at most %d", w->path, d->rank,
                        MMOE_H5_MAX_RANK);
  hsize_t shape[MMOE_H5_MAX_RANK] = {0};
  if (H5Sget_simple_extent_dims(space, shape, NULL) < 0)
    return mmoe_h5_fail_library(w->fault, "shape of dataset", w->path);
  uint64_t bytes = H5Tget_size(type);
  const size_t element = (size_t)bytes;
  d->count = H5Sget_simple_extent_type(space) == H5S_NULL ? 0 : 1;
  for (int i = 0; i < d->rank; ++i) {
    d->shape[i] = shape[i];
    if (__builtin_mul_overflow(d->count, (uint64_t)shape[i], &d->count)) d->count = UINT64_MAX;
  }
  if (__builtin_mul_overflow(bytes, d->count, &bytes)) bytes = UINT64_MAX;
  return check_storage(w, creation, bytes, element);
}

static bool visit_dataset(walk *w, hid_t object) {
  mmoe_h5_dataset d = {0};
  const hid_t type = H5Dget_type(object), space = H5Dget_space(object);
  const hid_t creation = H5Dget_create_plist(object);
  const bool accepted = describe(w, type, space, creation, &d);
  if (accepted)
    d.offset = H5Tequal(type, mmoe_h5_file_type(d.type)) > 0 ? H5Dget_offset(object) : UINT64_MAX;
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  if (creation >= 0) H5Pclose(creation);
  return accepted && w->visit(w->context, w->path, object, &d, w->fault);
}

static bool visit_group(walk *w, hid_t object) {
  if (!w->visit(w->context, w->path, object, NULL, w->fault)) return false;
  if (++w->depth > max_depth)
    return mmoe_h5_fail(w->fault, "group '%.120s…': deeper than %d levels", w->path, max_depth);
  const herr_t status =
      H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_link, w);
  --w->depth;
  return status >= 0 || mmoe_h5_fail_library(w->fault, "group", w->path[0] ? w->path : "/");
}

static const char *link_kind(H5L_type_t type) {
  return type == H5L_TYPE_EXTERNAL ? "an external link"
         : type == H5L_TYPE_SOFT   ? "a soft link"
                                   : "a user-defined link";
}

static bool visit_object(walk *w, hid_t group, const char *name) {
  const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
  if (object < 0) return mmoe_h5_fail_library(w->fault, "object", w->path);
  bool accepted = true;
  switch (H5Iget_type(object)) {
    case H5I_GROUP: accepted = visit_group(w, object); break;
    case H5I_DATASET: accepted = visit_dataset(w, object); break;
    default: break;  // A named type is only a description; datasets that use it are checked.
  }
  H5Oclose(object);
  return accepted;
}

/// Tells of an external link without following it.
static bool visit_external(walk *w, hid_t group, const char *name, size_t size) {
  // Two names of limited length, the flags before them.
  char value[2 * max_path];
  unsigned flags = 0;
  const char *file = NULL, *object = NULL;
  if (size > sizeof value)
    return mmoe_h5_fail(w->fault, "'%s' is a link of %zu bytes; expected at most %zu", w->path, size,
                        sizeof value);
  if (H5Lget_val(group, name, value, sizeof value, H5P_DEFAULT) < 0 ||
      H5Lunpack_elink_val(value, size, &flags, &file, &object) < 0)
    return mmoe_h5_fail_library(w->fault, "link", w->path);
  return w->external(w->context, w->path, file, object, w->fault);
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  walk *w = context;
  const size_t parent = strlen(w->path);
  const int length =
      snprintf(w->path + parent, max_path - parent, "%s%s", parent ? "/" : "", name);
  bool accepted = false;
  if (length < 0 || (size_t)length >= max_path - parent)
    mmoe_h5_fail(w->fault, "object '%.120s…': its path is longer than %d bytes", w->path,
                 max_path - 1);
  else if (++w->objects > max_objects)
    mmoe_h5_fail(w->fault, "more than %d objects", max_objects);
  else if (info->type == H5L_TYPE_EXTERNAL && w->external)
    accepted = visit_external(w, group, name, info->u.val_size);
  else if (info->type != H5L_TYPE_HARD)
    mmoe_h5_fail(w->fault, "'%s' is %s, which is refused; expected the object itself", w->path,
                 link_kind(info->type));
  else
    accepted = visit_object(w, group, name);
  w->path[parent] = 0;
  return accepted ? 0 : -1;
}

bool mmoe_h5_walk(mmoe_h5_id file, uint64_t file_bytes, mmoe_h5_visit visit,
                  mmoe_h5_visit_external external, void *context, char *fault) {
  walk w = {.file_bytes = file_bytes, .visit = visit, .external = external, .context = context,
            .fault = fault};
  const hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
  if (root < 0) return mmoe_h5_fail_library(fault, "root group", "");
  const bool accepted = visit_group(&w, root);
  H5Gclose(root);
  return accepted;
}
