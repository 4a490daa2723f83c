#include "CBLAS.h"

#include <cblas.h>
#include <stdio.h>

#ifdef MMOE_ONEDNN
#include <dnnl.h>
extern void omp_set_num_threads(int);
#endif

static char descriptions[2][192];

bool mmoe_blas_has_onednn(void) {
#ifdef MMOE_ONEDNN
  return true;
#else
  return false;
#endif
}

bool mmoe_blas_open(mmoe_blas backend, char error[256]) {
  if (backend == MMOE_BLAS_OPENBLAS) {
    openblas_set_num_threads(1);
    char version[64] = "";
    sscanf(openblas_get_config(), "%*s %63s", version);
    snprintf(descriptions[MMOE_BLAS_OPENBLAS], sizeof descriptions[0], "OpenBLAS %s %s", version,
             openblas_get_corename());
    return true;
  }
#ifdef MMOE_ONEDNN
  const dnnl_version_t *v = dnnl_version();
  snprintf(descriptions[MMOE_BLAS_ONEDNN], sizeof descriptions[0], "oneDNN %d.%d.%d isa %d",
           v->major, v->minor, v->patch, (int)dnnl_get_effective_cpu_isa());
  return true;
#else
  snprintf(error, 256, "oneDNN is not built in; install libdnnl-dev and build again");
  return false;
#endif
}

const char *mmoe_blas_description(mmoe_blas backend) { return descriptions[backend]; }

void mmoe_blas_enter_thread(void) {
#ifdef MMOE_ONEDNN
  omp_set_num_threads(1);
#endif
}

void mmoe_sgemm(mmoe_blas backend, bool transposeA, bool transposeB, int M, int N, int K,
                float alpha, const float *A, int lda, const float *B, int ldb, float beta, float *C,
                int ldc) {
  if (M <= 0 || N <= 0) return;
  if (K <= 0) {
    // BLAS libraries disagree about empty sums: an expert without tokens has gradient beta * C.
    for (int row = 0; row < M; row++)
      for (int column = 0; column < N; column++)
        C[(long)row * ldc + column] = beta == 0 ? 0 : beta * C[(long)row * ldc + column];
    return;
  }
#ifdef MMOE_ONEDNN
  if (backend == MMOE_BLAS_ONEDNN) {
    dnnl_sgemm(transposeA ? 'T' : 'N', transposeB ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb, beta,
               C, ldc);
    return;
  }
#endif
  cblas_sgemm(CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
              transposeB ? CblasTrans : CblasNoTrans, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}
