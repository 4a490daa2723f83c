// The part of MPI that the project uses, as plain functions: MPI's handles and constants are macros that Swift
// cannot import. Every function returns 0 or an MPI error code, which `mmoe_mpi_error` turns into words. All
// operations are non-blocking; the caller tests them. Only the thread that called `mmoe_mpi_init` may call.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A communicator.
typedef struct mmoe_comm mmoe_comm;
/// An operation in flight, with the arrays that MPI reads until it is done.
typedef struct mmoe_request mmoe_request;

/// Initializes MPI with MPI_THREAD_FUNNELED; errors are returned from then on, not fatal.
int mmoe_mpi_init(void);
void mmoe_mpi_finalize(void);
/// Ends every rank of the job with this exit status; does not return.
void mmoe_mpi_abort(int status);
void mmoe_mpi_error(int code, char *text, size_t capacity);
/// Library and version in one line.
void mmoe_mpi_version(char *text, size_t capacity);

int mmoe_comm_world(mmoe_comm **out);
/// The ranks with the same color, ordered by key.
int mmoe_comm_split(mmoe_comm *comm, int color, int key, mmoe_comm **out);
/// The same ranks with a message space of their own.
int mmoe_comm_duplicate(mmoe_comm *comm, mmoe_comm **out);
void mmoe_comm_free(mmoe_comm *comm);
int mmoe_comm_rank(const mmoe_comm *comm);
int mmoe_comm_size(const mmoe_comm *comm);

enum mmoe_reduction { MMOE_SUM, MMOE_MAX, MMOE_MIN };

/// Any count, in operations of at most `piece` elements (below 2^31).
int mmoe_iallreduce_float(mmoe_comm *comm, float *values, int64_t count, int64_t piece,
                          enum mmoe_reduction reduction, mmoe_request **out);
int mmoe_iallreduce_double(mmoe_comm *comm, double *values, int64_t count, int64_t piece,
                           enum mmoe_reduction reduction, mmoe_request **out);
int mmoe_ibroadcast(mmoe_comm *comm, void *bytes, int64_t count, int64_t piece, int root, mmoe_request **out);
/// Every rank gives `count` bytes; `all` receives them in rank order.
int mmoe_iallgather(mmoe_comm *comm, const void *bytes, int count, void *all, mmoe_request **out);
int mmoe_ibarrier(mmoe_comm *comm, mmoe_request **out);
/// `count` integers to and from each rank.
int mmoe_ialltoall_int(mmoe_comm *comm, const int32_t *send, int32_t *receive, int count,
                       mmoe_request **out);
/// Rows of `rowBytes` bytes: `sendCounts[p]` rows from row `sendStarts[p]` of `send` go to rank p, and the same for
/// what is received, in messages of at most 64 KiB (or one row) from rank to rank. Several on one communicator arrive in
/// the order in which all ranks start them. The buffers must live until the operation is done. With `hold`, messages leave
/// one by one, by `mmoe_request_send_next`.
int mmoe_ialltoallv_rows(mmoe_comm *comm, const void *send, const int64_t *sendCounts,
                         const int64_t *sendStarts, void *receive, const int64_t *receiveCounts,
                         const int64_t *receiveStarts, int rowBytes, bool hold, mmoe_request **out);
/// Messages that are held back, and the bytes of one of them.
int mmoe_request_held(const mmoe_request *request);
int mmoe_request_held_bytes(const mmoe_request *request, int index);
/// Sends the first message that is held back.
int mmoe_request_send_next(mmoe_request *request);
int mmoe_isend(mmoe_comm *comm, const void *bytes, int count, int to, int tag, mmoe_request **out);
int mmoe_ireceive(mmoe_comm *comm, void *bytes, int count, int from, int tag, mmoe_request **out);

/// Advances all communication and says whether this operation is done. A finished request is freed.
int mmoe_request_test(mmoe_request *request, bool *done);

/// Starts mpirun, with this program's standard error and nothing on standard input. It gets SIGTERM when the calling thread
/// dies, however that happens, so that no rank of this host outlives its launcher; and a process group of its own, so that a
/// terminal's Ctrl-C reaches it through the launcher alone.
///
/// @param output becomes the reading end of its standard output.
/// @return 0, or the system's error of what failed.
int mmoe_spawn_launcher(const char *path, char *const arguments[], char *const environment[], pid_t *process,
                        int *output);
