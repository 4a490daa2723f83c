// The kernels are compiled once per x86-64 level and bound at load time (dispatch.c). Compiling
// whole files per level, unlike `target_clones`, lets helpers take and return vectors.
// Elsewhere (arm64) there is one level, compiled for the platform.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

#include "vector.h"

#include "activation.inl"
#include "elementwise.inl"
#include "language.inl"
#include "norm.inl"
#include "optimizer.inl"
#include "routing.inl"
#include "softmax.inl"
#include "wire.inl"
