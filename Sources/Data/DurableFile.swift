import Foundation

/// A file that is written under a temporary name and takes its own only when it is complete and on the disk.
final class DurableFile {
  private let path: String
  private let temporary: String
  private let descriptor: Int32
  private var isCommitted = false

  /// - Throws: `DataError` when the folder cannot be written.
  init(_ path: String) throws {
    self.path = path
    temporary = "\(path).partial-\(getpid())"
    descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw DataError("\(path): cannot be written: \(systemMessage())") }
  }

  deinit {
    close(descriptor)
    if !isCommitted { unlink(temporary) }
  }

  /// Writes bytes at a position in the file.
  ///
  /// - Throws: `DataError` with the system's reason, such as a full disk.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if written > 0 {
        done += written
      } else if errno != EINTR {
        throw DataError("\(path): cannot be written: \(systemMessage())")
      }
    }
  }

  /// Makes the content durable and gives the file its name.
  ///
  /// - Throws: `DataError`; an earlier file of this name is then unchanged.
  func commit() throws {
    guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
      throw DataError("\(path): cannot be written: \(systemMessage())")
    }
    isCommitted = true
  }
}
