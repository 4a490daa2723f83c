#include "CMPI.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mmoe_comm {
  MPI_Comm comm;
  // The row type of the last all-to-all: a run has few widths, and a committed type is reused.
  MPI_Datatype rowType;
  int rowBytes;
};

struct mmoe_request {
  MPI_Request request;
  int32_t *arrays;
};

static int wrap(MPI_Comm comm, mmoe_comm **out) {
  mmoe_comm *wrapped = calloc(1, sizeof *wrapped);
  if (!wrapped) return MPI_ERR_NO_MEM;
  wrapped->comm = comm;
  wrapped->rowType = MPI_DATATYPE_NULL;
  int code = MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  *out = wrapped;
  return code;
}

int mmoe_mpi_init(void) {
  int provided = 0;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  if (code) return code;
  return provided < MPI_THREAD_FUNNELED ? MPI_ERR_OTHER : MPI_SUCCESS;
}

void mmoe_mpi_finalize(void) { MPI_Finalize(); }

void mmoe_mpi_abort(int status) {
  MPI_Abort(MPI_COMM_WORLD, status);
  _Exit(status);
}

void mmoe_mpi_error(int code, char *text, size_t capacity) {
  char message[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, message, &length);
  snprintf(text, capacity, "%s", message);
}

void mmoe_mpi_version(char *text, size_t capacity) {
  char message[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(message, &length);
  message[strcspn(message, ",\n")] = 0;
  snprintf(text, capacity, "%s", message);
}

int mmoe_comm_world(mmoe_comm **out) {
  MPI_Comm copy;
  int code = MPI_Comm_dup(MPI_COMM_WORLD, &copy);
  return code ? code : wrap(copy, out);
}

int mmoe_comm_split(mmoe_comm *comm, int color, int key, mmoe_comm **out) {
  MPI_Comm part;
  int code = MPI_Comm_split(comm->comm, color, key, &part);
  return code ? code : wrap(part, out);
}

int mmoe_comm_duplicate(mmoe_comm *comm, mmoe_comm **out) {
  MPI_Comm copy;
  int code = MPI_Comm_dup(comm->comm, &copy);
  return code ? code : wrap(copy, out);
}

void mmoe_comm_free(mmoe_comm *comm) {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) {
    if (comm->rowType != MPI_DATATYPE_NULL) MPI_Type_free(&comm->rowType);
    MPI_Comm_free(&comm->comm);
  }
  free(comm);
}

int mmoe_comm_rank(const mmoe_comm *comm) {
  int rank = 0;
  MPI_Comm_rank(comm->comm, &rank);
  return rank;
}

int mmoe_comm_size(const mmoe_comm *comm) {
  int size = 1;
  MPI_Comm_size(comm->comm, &size);
  return size;
}

static MPI_Op operation(enum mmoe_reduction reduction) {
  return reduction == MMOE_SUM ? MPI_SUM : reduction == MMOE_MAX ? MPI_MAX : MPI_MIN;
}

static mmoe_request *new_request(void) {
  mmoe_request *request = calloc(1, sizeof *request);
  if (request) request->request = MPI_REQUEST_NULL;
  return request;
}

static int started(int code, mmoe_request *request, mmoe_request **out) {
  if (code) {
    free(request->arrays);
    free(request);
    return code;
  }
  *out = request;
  return MPI_SUCCESS;
}

int mmoe_iallreduce_float(mmoe_comm *comm, float *values, int count, enum mmoe_reduction reduction,
                          mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, operation(reduction),
                                comm->comm, &r->request), r, out);
}

int mmoe_iallreduce_double(mmoe_comm *comm, double *values, int count,
                           enum mmoe_reduction reduction, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, operation(reduction),
                                comm->comm, &r->request), r, out);
}

int mmoe_ibroadcast(mmoe_comm *comm, void *bytes, int count, int root, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Ibcast(bytes, count, MPI_BYTE, root, comm->comm, &r->request), r, out);
}

int mmoe_iallgather(mmoe_comm *comm, const void *bytes, int count, void *all, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Iallgather(bytes, count, MPI_BYTE, all, count, MPI_BYTE, comm->comm,
                                &r->request), r, out);
}

int mmoe_ibarrier(mmoe_comm *comm, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Ibarrier(comm->comm, &r->request), r, out);
}

int mmoe_ialltoall_int(mmoe_comm *comm, const int32_t *send, int32_t *receive, int count,
                       mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Ialltoall(send, count, MPI_INT32_T, receive, count, MPI_INT32_T, comm->comm,
                               &r->request), r, out);
}

static int row_type(mmoe_comm *comm, int bytes) {
  if (comm->rowBytes == bytes) return MPI_SUCCESS;
  if (comm->rowType != MPI_DATATYPE_NULL) MPI_Type_free(&comm->rowType);
  comm->rowBytes = 0;
  int code = MPI_Type_contiguous(bytes, MPI_BYTE, &comm->rowType);
  if (!code) code = MPI_Type_commit(&comm->rowType);
  if (!code) comm->rowBytes = bytes;
  return code;
}

int mmoe_ialltoallv_rows(mmoe_comm *comm, const void *send, const int32_t *sendCounts,
                         const int32_t *sendStarts, void *receive, const int32_t *receiveCounts,
                         const int32_t *receiveStarts, int rowBytes, mmoe_request **out) {
  int code = row_type(comm, rowBytes);
  if (code) return code;
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  size_t n = (size_t)mmoe_comm_size(comm), bytes = n * sizeof(int32_t);
  r->arrays = malloc(4 * bytes);
  if (!r->arrays) {
    free(r);
    return MPI_ERR_NO_MEM;
  }
  memcpy(r->arrays, sendCounts, bytes);
  memcpy(r->arrays + n, sendStarts, bytes);
  memcpy(r->arrays + 2 * n, receiveCounts, bytes);
  memcpy(r->arrays + 3 * n, receiveStarts, bytes);
  return started(MPI_Ialltoallv(send, r->arrays, r->arrays + n, comm->rowType, receive,
                                r->arrays + 2 * n, r->arrays + 3 * n, comm->rowType, comm->comm,
                                &r->request), r, out);
}

int mmoe_isend(mmoe_comm *comm, const void *bytes, int count, int to, int tag, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Isend(bytes, count, MPI_BYTE, to, tag, comm->comm, &r->request), r, out);
}

int mmoe_ireceive(mmoe_comm *comm, void *bytes, int count, int from, int tag, mmoe_request **out) {
  mmoe_request *r = new_request();
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Irecv(bytes, count, MPI_BYTE, from, tag, comm->comm, &r->request), r, out);
}

int mmoe_request_test(mmoe_request *request, bool *done) {
  int flag = 0;
  int code = MPI_Test(&request->request, &flag, MPI_STATUS_IGNORE);
  *done = code == MPI_SUCCESS && flag;
  if (*done) {
    free(request->arrays);
    free(request);
  }
  return code;
}
