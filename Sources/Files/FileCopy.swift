import Foundation

extension DurableFile {
  /// Copies a file whose copy is on the disk when this returns.
  package static func copy(_ file: String, to copy: String) throws {
    try FileManager.default.copyItem(atPath: file, toPath: copy)
    let descriptor = open(copy, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
  }
}
