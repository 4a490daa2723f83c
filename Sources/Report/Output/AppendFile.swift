import Foundation
import MMoEFiles

/// A file that only grows, by whole pieces: a piece that does not fit on the disk is taken back.
package final class AppendFile {
  private let path: String
  private let descriptor: Int32
  private var size: Int

  /// Opens the file, or makes an empty one.
  package init(_ path: String) throws(ReportError) {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ReportError(
        path, found: "cannot be opened for writing (\(systemReason(errno)))",
        remedy: "check the folder and its permissions")
    }
    size = Int(lseek(descriptor, 0, SEEK_END))
  }

  deinit { close(descriptor) }

  package func append(_ bytes: [UInt8]) throws(ReportError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        pwrite(
          descriptor, $0.baseAddress! + written, bytes.count - written, off_t(size + written))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let failure = failure("cannot be written")
        ftruncate(descriptor, off_t(size))
        throw failure
      }
      written += count
    }
    size += written
  }

  package func truncate(to length: Int) throws(ReportError) {
    guard ftruncate(descriptor, off_t(length)) == 0 else { throw failure("cannot be shortened") }
    size = length
  }

  package func synchronize() throws(ReportError) {
    guard fsync(descriptor) == 0 else { throw failure("cannot be written to the disk") }
  }

  private func failure(_ what: String) -> ReportError {
    let reason = errno
    let remedy =
      reason == ENOSPC || reason == EDQUOT ? "free space and resume" : "check the disk and resume"
    return ReportError(path, found: "\(what) (\(systemReason(reason)))", remedy: remedy)
  }
}
