// The kernels of each CPU level, for tests. CKernels binds the highest one that the CPU has; here every one can be called.
#pragma once

#include "CKernels.h"

#include "../../../Sources/C/Kernels/kernels.h"

#define KERNEL_FIELD(name) __typeof__(&name) name;

/// One field for each kernel, under its name.
typedef struct {
  MMOE_KERNELS(KERNEL_FIELD)
} kernel_table;

/// The levels, lowest first; one without a suffix on other processors.
typedef enum { KERNELS_BASE, KERNELS_V3, KERNELS_V4 } kernel_level;

/// The kernels of a level, or null where this CPU cannot run them or the build has none.
const kernel_table *kernels_of_level(kernel_level level);
