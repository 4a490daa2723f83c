#include "CBLAS.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef MMOE_ONEDNN
#include <dnnl.h>
#include <pthread.h>
#include <unistd.h>
extern void omp_set_num_threads(int);

// A product that failed has written nothing or a part, and nothing can be computed from that. It runs on a worker's thread
// between the rows of others, so that the process ends here, with one line; sizes are the caller's own, so that memory is
// what is missing.
static void must(dnnl_status_t status, const char *what, long M, long N, long K) {
  if (status == dnnl_success) return;
  fprintf(stderr, "oneDNN: a %s product of %ld x %ld x %ld failed with status %d%s\n", what, M, N, K, (int)status,
          status == dnnl_out_of_memory ? " (out of memory); lower data.batch or the model's size"
                                       : "; give --set tensor.blas=openblas");
  _exit(EXIT_FAILURE);
}

// The instruction set that oneDNN computes with, as people call it.
static const char *isa_name(int isa) {
  switch (isa) {
  case 0x1: return "SSE4.1";
  case 0x3: return "AVX";
  case 0x7: return "AVX2";
  case 0x407: return "AVX2-VNNI";
  case 0x27: return "AVX512";
  case 0x67: return "AVX512-VNNI";
  case 0xe7: return "AVX512-BF16";
  case 0x3e7: return "AMX";
  default: return "other instructions";
  }
}
#endif

static char descriptions[2][192];

bool mmoe_blas_has_onednn(void) {
#ifdef MMOE_ONEDNN
  return true;
#else
  return false;
#endif
}

// Both libraries pack operands into memory from malloc in every product. Given back to the system each time it would have
// to be cleared page by page each time: 5 % of a step of gpt-small.
static void keep_freed_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

bool mmoe_blas_open(mmoe_blas backend, char error[256]) {
  keep_freed_memory();
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
  snprintf(descriptions[MMOE_BLAS_ONEDNN], sizeof descriptions[0], "oneDNN %d.%d.%d %s",
           v->major, v->minor, v->patch, isa_name(dnnl_get_effective_cpu_isa()));
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
    must(dnnl_sgemm(transposeA ? 'T' : 'N', transposeB ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb, beta,
                    C, ldc),
         "float32", M, N, K);
    return;
  }
#endif
  cblas_sgemm(CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
              transposeB ? CblasTrans : CblasNoTrans, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

#if defined(MMOE_ONEDNN) && DNNL_VERSION_MAJOR == 2
// One primitive for each pair of transposes and for "overwrite" and "add", with sizes and distances given at run time.
// Measured on Zen 4 at the shapes of gpt-small and vit-small: as fast as primitives for fixed sizes, packed weights
// included (415 to 455 GFLOP/s on two cores), and the row counts of experts, which change at every step, cost nothing.
static dnnl_engine_t cpu;
static dnnl_primitive_t products[2][2][2];
static dnnl_status_t products_status;

static dnnl_status_t describe(dnnl_memory_desc_t *md, dnnl_data_type_t type, bool transpose, dnnl_dim_t rows,
                              dnnl_dim_t columns, dnnl_dim_t ld) {
  dnnl_dims_t dims = {rows, columns}, strides = {transpose ? 1 : ld, transpose ? ld : 1};
  return dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides);
}

static dnnl_status_t make_product(dnnl_primitive_t *product, bool transposeA, bool transposeB, bool add) {
  const dnnl_dim_t any = DNNL_RUNTIME_DIM_VAL;
  dnnl_memory_desc_t a, b, c;
  dnnl_status_t status = describe(&a, dnnl_bf16, transposeA, any, any, any);
  if (!status) status = describe(&b, dnnl_bf16, transposeB, any, any, any);
  if (!status) status = describe(&c, dnnl_f32, false, any, any, any);
  dnnl_matmul_desc_t matmul;
  if (!status) status = dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c);
  dnnl_primitive_attr_t attributes = NULL;
  if (!status) status = dnnl_primitive_attr_create(&attributes);
  const float alpha = DNNL_RUNTIME_F32_VAL;
  if (!status) status = dnnl_primitive_attr_set_output_scales(attributes, 1, 0, &alpha);
  if (!status && add) {
    dnnl_post_ops_t sum = NULL;
    status = dnnl_post_ops_create(&sum);
    if (!status) status = dnnl_post_ops_append_sum(sum, 1);
    if (!status) status = dnnl_primitive_attr_set_post_ops(attributes, sum);
    dnnl_post_ops_destroy(sum);
  }
  dnnl_primitive_desc_t form = NULL;
  if (!status) status = dnnl_primitive_desc_create(&form, &matmul, attributes, cpu, NULL);
  if (!status) status = dnnl_primitive_create(product, form);
  if (form) dnnl_primitive_desc_destroy(form);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  return status;
}

static void make_products(void) {
  products_status = dnnl_engine_create(&cpu, dnnl_cpu, 0);
  for (int i = 0; i < 8 && !products_status; i++)
    products_status = make_product(&products[i & 1][i >> 1 & 1][i >> 2], i & 1, i >> 1 & 1, i >> 2);
}

bool mmoe_blas_open_bf16(char error[256]) {
  int isa = dnnl_get_effective_cpu_isa();
  if ((isa & dnnl_cpu_isa_avx512_core_bf16) != dnnl_cpu_isa_avx512_core_bf16) {
    snprintf(error, 256, "this CPU has no AVX512_BF16 instructions");
    return false;
  }
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_products);
  if (products_status) snprintf(error, 256, "oneDNN made no bfloat16 product (status %d)", products_status);
  return !products_status;
}

static void multiply(bool transposeA, bool transposeB, int M, int N, int K, float alpha, const uint16_t *A,
                     int lda, const uint16_t *B, int ldb, bool add, float *C, int ldc) {
  static __thread dnnl_stream_t stream;
  dnnl_status_t status = dnnl_success;
  if (!stream) status = dnnl_stream_create(&stream, cpu, dnnl_stream_default_flags);
  dnnl_memory_desc_t a, b, c, one;
  const dnnl_dims_t single = {1};
  if (!status) status = dnnl_memory_desc_init_by_tag(&one, 1, single, dnnl_f32, dnnl_a);
  if (!status) status = describe(&a, dnnl_bf16, transposeA, M, K, lda);
  if (!status) status = describe(&b, dnnl_bf16, transposeB, K, N, ldb);
  if (!status) status = describe(&c, dnnl_f32, false, M, N, ldc);
  dnnl_exec_arg_t arguments[4] = {{DNNL_ARG_SRC, NULL},
                                  {DNNL_ARG_WEIGHTS, NULL},
                                  {DNNL_ARG_DST, NULL},
                                  {DNNL_ARG_ATTR_OUTPUT_SCALES, NULL}};
  if (!status) status = dnnl_memory_create(&arguments[0].memory, &a, cpu, (void *)A);
  if (!status) status = dnnl_memory_create(&arguments[1].memory, &b, cpu, (void *)B);
  if (!status) status = dnnl_memory_create(&arguments[2].memory, &c, cpu, C);
  if (!status) status = dnnl_memory_create(&arguments[3].memory, &one, cpu, &alpha);
  if (!status) status = dnnl_primitive_execute(products[transposeA][transposeB][add], stream, 4, arguments);
  must(status, "bfloat16", M, N, K);
  for (int i = 0; i < 4; i++) dnnl_memory_destroy(arguments[i].memory);
}

// A single row or column goes through another kernel of oneDNN, which adds up in another order: a row's digits would
// depend on how many rows are multiplied with it. Twice the same row (column) has the digits that it has among many.
static void multiply_doubled(int M, int N, int K, float alpha, const uint16_t *A, int lda, const uint16_t *B, int ldb,
                             bool add, float *C, int ldc) {
  static __thread char *scratch;
  static __thread size_t capacity;
  int m = M == 1 ? 2 : M, n = N == 1 ? 2 : N;
  size_t results = (size_t)m * (size_t)n * sizeof(float), row = (size_t)K * sizeof(uint16_t);
  size_t needed = results + 4 * row;
  if (needed > capacity) {
    free(scratch);
    scratch = malloc(needed);
    must(scratch ? dnnl_success : dnnl_out_of_memory, "bfloat16", M, N, K);
    capacity = needed;
  }
  float *c = (float *)scratch;
  char *copies = scratch + results;
  for (int i = 0; i < 2 && M == 1; i++) memcpy(copies + (size_t)i * row, A, row);
  for (int i = 0; i < 2 && N == 1; i++) memcpy(copies + (size_t)(2 + i) * row, B, row);
  for (int i = 0; i < m && add; i++)
    for (int j = 0; j < n; j++) c[(long)i * n + j] = C[(long)(M == 1 ? 0 : i) * ldc + (N == 1 ? 0 : j)];
  multiply(false, true, m, n, K, alpha, M == 1 ? (uint16_t *)copies : A, M == 1 ? K : lda,
           N == 1 ? (uint16_t *)(copies + 2 * row) : B, N == 1 ? K : ldb, add, c, n);
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) C[(long)i * ldc + j] = c[(long)i * n + j];
}

void mmoe_bgemm(bool transposeA, bool transposeB, int M, int N, int K, float alpha, const uint16_t *A,
                int lda, const uint16_t *B, int ldb, bool add, float *C, int ldc) {
  if (M <= 0 || N <= 0) return;
  if (K <= 0) {
    for (int row = 0; row < M && !add; row++)
      for (int column = 0; column < N; column++) C[(long)row * ldc + column] = 0;
    return;
  }
  // The products of forward passes.
  if (!transposeA && transposeB && (M == 1 || N == 1))
    return multiply_doubled(M, N, K, alpha, A, lda, B, ldb, add, C, ldc);
  multiply(transposeA, transposeB, M, N, K, alpha, A, lda, B, ldb, add, C, ldc);
}
#else
bool mmoe_blas_open_bf16(char error[256]) {
  snprintf(error, 256, "oneDNN 2 is not built in; install libdnnl-dev and build again");
  return false;
}

void mmoe_bgemm(bool transposeA, bool transposeB, int M, int N, int K, float alpha, const uint16_t *A,
                int lda, const uint16_t *B, int ldb, bool add, float *C, int ldc) {
  abort();  // mmoe_blas_open_bf16 has refused
}
#endif
