import Foundation
import MMoEFiles

/// Reads a whole regular file.
///
/// - Parameter limit: the largest size in bytes.
/// - Throws: `DataError` naming the file: missing, unreadable, not a regular file, or larger than `limit`.
package func readFile(_ path: String, limit: Int) throws -> [UInt8] {
  // Without O_NONBLOCK opening a named pipe would wait for a writer.
  let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
  guard descriptor >= 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
  defer { close(descriptor) }
  var information = stat()
  guard fstat(descriptor, &information) == 0 else {
    throw DataError(path, found: "cannot be read: \(systemReason(errno))")
  }
  guard information.st_mode & S_IFMT == S_IFREG else {
    throw DataError(path, found: "not a regular file")
  }
  let size = Int(information.st_size)
  guard size <= limit else {
    throw DataError(path, found: "\(size) bytes, the limit for a file is \(limit)")
  }
  var failure: String?
  let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    while count < size {
      let got = read(descriptor, buffer.baseAddress! + count, size - count)
      if got > 0 {
        count += got
      } else if got == 0 || errno != EINTR {
        if got < 0 { failure = systemReason(errno) }
        break
      }
    }
  }
  if let failure { throw DataError(path, found: "cannot be read: \(failure)") }
  return bytes
}

/// The size of a file in bytes.
///
/// - Throws: `DataError` naming the file that cannot be looked at.
func fileSize(_ path: String) throws -> Int {
  var information = stat()
  guard stat(path, &information) == 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
  return Int(information.st_size)
}

/// Writes a whole file of a `StagedFolder`, which makes all of its files durable together.
///
/// - Throws: `DataError` naming the file and the system's reason.
package func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw DataError(path, found: "cannot be written: \(systemReason(errno))") }
  defer { close(descriptor) }
  var done = 0
  while done < bytes.count {
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes.count - done) }
    if written > 0 {
      done += written
    } else if errno != EINTR {
      throw DataError(path, found: "cannot be written: \(systemReason(errno))")
    }
  }
}
