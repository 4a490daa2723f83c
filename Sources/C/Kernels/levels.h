// The kernels are compiled once per x86-64 level and bound at load time (dispatch.c). Compiling
// whole files per level, unlike `target_clones`, lets helpers take and return vectors.
// Elsewhere (arm64) there is one level, compiled for the platform.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

// Contraction into FMA is allowed: results may differ between CPU levels, never between thread counts, since tiles and
// lanes are fixed.
#pragma clang fp contract(fast)
// Vectors are passed between inlined functions of one file alone, so how a caller elsewhere would pass them says nothing.
#pragma clang diagnostic ignored "-Wpsabi"

#include "vector.h"

#include "activation.inl"
#include "elementwise.inl"
#include "language.inl"
#include "norm.inl"
#include "optimizer.inl"
#include "routing.inl"
#include "softmax.inl"
#include "wire.inl"
