// One door to matrix products: OpenBLAS (Debian: libopenblas-dev), and oneDNN where its header was present at build
// time (libdnnl-dev), which also multiplies in bfloat16.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum { MMOE_BLAS_OPENBLAS = 0, MMOE_BLAS_ONEDNN = 1 } mmoe_blas;

/// Whether oneDNN was built in.
bool mmoe_blas_has_onednn(void);

/// Makes the backend single-threaded; `error` receives one line on failure.
bool mmoe_blas_open(mmoe_blas backend, char error[256]);

/// Version and kernel set of an opened backend, for checkpoints and JSON.
const char *mmoe_blas_description(mmoe_blas backend);

/// Must be called once on every thread that calls mmoe_sgemm: oneDNN's OpenMP setting is per thread.
void mmoe_blas_enter_thread(void);

/// Row-major C[M,N] = alpha * op(A)[M,K] * op(B)[K,N] + beta * C, on the calling thread alone.
void mmoe_sgemm(mmoe_blas backend, bool transposeA, bool transposeB, int M, int N, int K,
                float alpha, const float *A, int lda, const float *B, int ldb, float beta, float *C,
                int ldc);

/// Makes oneDNN's bfloat16 products; `error` receives what is missing.
bool mmoe_blas_open_bf16(char error[256]);

/// Row-major C[M,N] = alpha * op(A)[M,K] * op(B)[K,N], or C += that, of bfloat16 A and B, summed up in float32, on the
/// calling thread alone. After mmoe_blas_open_bf16. With B transposed and A not, an element of C depends on its row of A
/// and its row of B alone, not on M and N.
void mmoe_bgemm(bool transposeA, bool transposeB, int M, int N, int K, float alpha, const uint16_t *A,
                int lda, const uint16_t *B, int ldb, bool add, float *C, int ldc);
