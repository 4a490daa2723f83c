import Foundation
import MMoEFiles
import MMoETensor

/// What the system lets this process have, looked at before anything else.
package enum ProcessLimits {
  /// Descriptors that a run needs at a time: data, metrics, a checkpoint, and the pipes of a program that draws. With fewer
  /// the system's libraries end the process in the middle of a run, without a word.
  private static let files = 64

  /// Virtual memory that the program takes with its libraries, threads and their heaps before a model is there. With less,
  /// libraries that cannot start a thread or map a file end the process with a fault.
  private static let bytes = 1 << 30

  /// Raises the limit of open files where it is too low and may be raised, and lets writing past a limit on file sizes be an
  /// error like others, where the system would end the process.
  ///
  /// - Throws: `ReportError` where it may not, or where virtual memory is too little to begin.
  package static func require() throws {
    signal(SIGXFSZ, SIG_IGN)
    if let limit = MemoryLimit.virtualBytes, limit < bytes {
      throw ReportError(
        "the limit of virtual memory is \(limit >> 10) KB, expected at least \(bytes >> 10); raise it with ulimit -v \(bytes >> 10)"
      )
    }
    var limit = rlimit()
    #if canImport(Glibc)
      let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let resource = RLIMIT_NOFILE
    #endif
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < files else { return }
    limit.rlim_cur = min(limit.rlim_max, rlim_t(files))
    guard limit.rlim_cur == files, setrlimit(resource, &limit) == 0 else {
      throw ReportError(
        "the limit of open files is \(limit.rlim_max), expected at least \(files); raise it with ulimit -n \(files)")
    }
  }
}
