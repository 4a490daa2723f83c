import Foundation
import MMoEFiles

/// A regular file, mapped into memory for reading: only the pages that are read are loaded, so that it may be larger than
/// memory. The file must not be shortened while it is open.
final class MappedFile: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer

  /// - Throws: `DataError` naming the file: missing, unreadable, or not a regular file.
  init(_ path: String) throws {
    // Without O_NONBLOCK opening a named pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    defer { close(descriptor) }
    var information = stat()
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      throw DataError(path, found: "not a regular file")
    }
    let size = Int(information.st_size)
    // The system maps nothing of length 0.
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let mapped = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED else {
      throw DataError(path, found: "cannot be mapped into memory: \(systemReason(errno))")
    }
    bytes = UnsafeRawBufferPointer(start: mapped, count: size)
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}
