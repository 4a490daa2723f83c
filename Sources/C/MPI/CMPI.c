#include "CMPI.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mmoe_comm {
  MPI_Comm comm;
};

typedef struct {
  const void *bytes;
  int count, to;
} message;

struct mmoe_request {
  // Requests before `first` are done, those before `posted` are with MPI. The others are the messages of `held` from `sent` on.
  int first, posted, count, sent;
  MPI_Comm comm;
  message *held;
  MPI_Request requests[];
};

// Bytes of rows in one message. Open MPI sends what fits into 64 KiB with its header at once over TCP. A longer message
// waits for the receiver's answer, which comes when that rank looks after its exchanges again: between two products,
// milliseconds later. It also shares the connection with messages started after it, so that the first part of a route
// would arrive with the last. Memory shared on a host asks in any case, but one look answers all that have come.
enum { PIECE = 65536 - 256 };
// The tag of rows: pieces must meet each other, not what `mmoe_isend` sends on the same communicator.
enum { ROWS = 1 };

static int wrap(MPI_Comm comm, mmoe_comm **out) {
  mmoe_comm *wrapped = calloc(1, sizeof *wrapped);
  if (!wrapped) return MPI_ERR_NO_MEM;
  wrapped->comm = comm;
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
  if (!finalized) MPI_Comm_free(&comm->comm);
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

static mmoe_request *new_request(int count) {
  mmoe_request *r = malloc(sizeof *r + (size_t)count * sizeof(MPI_Request));
  if (r) *r = (mmoe_request){.posted = count, .count = count};
  for (int i = 0; r && i < count; i++) r->requests[i] = MPI_REQUEST_NULL;
  return r;
}

static int started(int code, mmoe_request *request, mmoe_request **out) {
  if (code) {
    free(request->held);
    free(request);
    return code;
  }
  *out = request;
  return MPI_SUCCESS;
}

// MPI counts in 32 bits: what is longer goes as several operations, which every rank starts in the same order.
static int cut(int64_t count, int64_t piece) { return count > 0 ? (int)((count + piece - 1) / piece) : 1; }

static int length(int64_t count, int64_t piece, int index) {
  int64_t left = count - index * piece;
  return (int)(left < piece ? left : piece);
}

static int reduce(mmoe_comm *comm, void *values, size_t size, MPI_Datatype type, int64_t count, int64_t piece,
                  enum mmoe_reduction reduction, mmoe_request **out) {
  mmoe_request *r = new_request(cut(count, piece));
  if (!r) return MPI_ERR_NO_MEM;
  int code = MPI_SUCCESS;
  for (int i = 0; i < r->count && !code; i++)
    code = MPI_Iallreduce(MPI_IN_PLACE, (char *)values + (size_t)(i * piece) * size, length(count, piece, i), type,
                          operation(reduction), comm->comm, r->requests + i);
  return started(code, r, out);
}

int mmoe_iallreduce_float(mmoe_comm *comm, float *values, int64_t count, int64_t piece,
                          enum mmoe_reduction reduction, mmoe_request **out) {
  return reduce(comm, values, sizeof *values, MPI_FLOAT, count, piece, reduction, out);
}

int mmoe_iallreduce_double(mmoe_comm *comm, double *values, int64_t count, int64_t piece,
                           enum mmoe_reduction reduction, mmoe_request **out) {
  return reduce(comm, values, sizeof *values, MPI_DOUBLE, count, piece, reduction, out);
}

int mmoe_ibroadcast(mmoe_comm *comm, void *bytes, int64_t count, int64_t piece, int root, mmoe_request **out) {
  mmoe_request *r = new_request(cut(count, piece));
  if (!r) return MPI_ERR_NO_MEM;
  int code = MPI_SUCCESS;
  for (int i = 0; i < r->count && !code; i++)
    code = MPI_Ibcast((char *)bytes + i * piece, length(count, piece, i), MPI_BYTE, root, comm->comm, r->requests + i);
  return started(code, r, out);
}

int mmoe_iallgather(mmoe_comm *comm, const void *bytes, int count, void *all, mmoe_request **out) {
  mmoe_request *r = new_request(1);
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Iallgather(bytes, count, MPI_BYTE, all, count, MPI_BYTE, comm->comm,
                                r->requests), r, out);
}

int mmoe_ibarrier(mmoe_comm *comm, mmoe_request **out) {
  mmoe_request *r = new_request(1);
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Ibarrier(comm->comm, r->requests), r, out);
}

int mmoe_ialltoall_int(mmoe_comm *comm, const int32_t *send, int32_t *receive, int count,
                       mmoe_request **out) {
  mmoe_request *r = new_request(1);
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Ialltoall(send, count, MPI_INT32_T, receive, count, MPI_INT32_T, comm->comm,
                               r->requests), r, out);
}

static int pieces(int64_t rows, int rowsOfPiece) { return (int)((rows + rowsOfPiece - 1) / rowsOfPiece); }

int mmoe_ialltoallv_rows(mmoe_comm *comm, const void *send, const int64_t *sendCounts,
                         const int64_t *sendStarts, void *receive, const int64_t *receiveCounts,
                         const int64_t *receiveStarts, int rowBytes, bool hold, mmoe_request **out) {
  int ranks = mmoe_comm_size(comm), rank = mmoe_comm_rank(comm);
  int step = rowBytes < PIECE ? PIECE / rowBytes : 1;
  int sends = 0, count = 0, rounds = 0;
  for (int p = 0; p < ranks; p++) {
    int sent = pieces(sendCounts[p], step), received = pieces(receiveCounts[p], step);
    sends += sent;
    count += sent + received;
    if (sent > rounds) rounds = sent;
    if (received > rounds) rounds = received;
  }
  mmoe_request *r = new_request(count);
  if (!r) return MPI_ERR_NO_MEM;
  message *held = NULL;
  if (hold && sends > 0) {
    held = r->held = malloc((size_t)sends * sizeof *held);
    if (!held) return started(MPI_ERR_NO_MEM, r, out);
    r->comm = comm->comm;
    r->posted = count - sends;
  }
  MPI_Request *next = r->requests;
  int code = MPI_SUCCESS;
  // Receives first, so that what comes finds its place. In turn over the ranks, each rank beginning with another.
  for (int sending = 0; sending < 2; sending++)
    for (int i = 0; i < rounds; i++)
      for (int away = 0; away < ranks && !code; away++) {
        int p = sending ? (rank + away) % ranks : (rank + ranks - away) % ranks;
        int64_t rows = (sending ? sendCounts : receiveCounts)[p] - (int64_t)i * step;
        if (rows <= 0) continue;
        if (rows > step) rows = step;
        size_t at = ((size_t)(sending ? sendStarts : receiveStarts)[p] + (size_t)i * (size_t)step) * (size_t)rowBytes;
        if (sending && held) *held++ = (message){(const char *)send + at, (int)rows * rowBytes, p};
        else code = sending ? MPI_Isend((const char *)send + at, (int)rows * rowBytes, MPI_BYTE, p, ROWS, comm->comm, next++)
                            : MPI_Irecv((char *)receive + at, (int)rows * rowBytes, MPI_BYTE, p, ROWS, comm->comm, next++);
      }
  return started(code, r, out);
}

int mmoe_request_held(const mmoe_request *request) { return request->count - request->posted; }

int mmoe_request_held_bytes(const mmoe_request *request, int index) { return request->held[request->sent + index].count; }

int mmoe_request_send_next(mmoe_request *request) {
  message next = request->held[request->sent++];
  return MPI_Isend(next.bytes, next.count, MPI_BYTE, next.to, ROWS, request->comm, request->requests + request->posted++);
}

int mmoe_isend(mmoe_comm *comm, const void *bytes, int count, int to, int tag, mmoe_request **out) {
  mmoe_request *r = new_request(1);
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Isend(bytes, count, MPI_BYTE, to, tag, comm->comm, r->requests), r, out);
}

int mmoe_ireceive(mmoe_comm *comm, void *bytes, int count, int from, int tag, mmoe_request **out) {
  mmoe_request *r = new_request(1);
  if (!r) return MPI_ERR_NO_MEM;
  return started(MPI_Irecv(bytes, count, MPI_BYTE, from, tag, comm->comm, r->requests), r, out);
}

int mmoe_request_test(mmoe_request *request, bool *done) {
  // In their order, in which most of them end: a poll looks at those that are through and at one more.
  for (int flag = 1; request->first < request->posted; request->first++) {
    int code = MPI_Test(&request->requests[request->first], &flag, MPI_STATUS_IGNORE);
    if (code || !flag) {
      *done = false;
      return code;
    }
  }
  *done = request->posted == request->count;
  if (!*done) return MPI_SUCCESS;
  free(request->held);
  free(request);
  return MPI_SUCCESS;
}
