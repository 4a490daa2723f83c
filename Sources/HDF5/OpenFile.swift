import Foundation
import MMoEFiles

/// A regular file that is open; closed with its last reference.
final class OpenFile: Sendable {
  let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Opens a file for reading.
  ///
  /// - Throws: `HDF5Error` when it is missing, no regular file, or not readable.
  convenience init(reading path: String) throws {
    // Without blocking, as a pipe of this name would.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      let code = errno
      throw code == ENOENT
        ? HDF5Error(.missing, path, found: "no such file", remedy: "check the path")
        : HDF5Error(.unreadable, path, found: "cannot be opened: \(systemReason(code))")
    }
    self.init(descriptor: descriptor)
    guard let status = status, status.st_mode & S_IFMT == S_IFREG else {
      throw HDF5Error(.unreadable, path, "is not a regular file; expected an HDF5 file")
    }
  }

  private var status: stat? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? status : nil
  }

  /// Length in bytes.
  var length: Int { status.map { Int($0.st_size) } ?? 0 }

  /// The bytes from `offset` on, at most `count`; fewer at the end of the file or on an error.
  func bytes(at offset: Int, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, found in
      found = max(0, pread(descriptor, buffer.baseAddress, count, off_t(offset)))
    }
  }
}
