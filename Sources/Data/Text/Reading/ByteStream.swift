import CCompress
import Foundation

/// The bytes of a file from its beginning, unpacked where its name ends in `.gz` or `.zst`. Memory does not grow with
/// the file.
final class ByteStream {
  let path: String
  /// Bytes of the file itself that were read so far.
  private(set) var fileBytes = 0
  /// Bytes given out so far.
  private(set) var position = 0

  private let descriptor: Int32
  private let decoder: OpaquePointer?
  private let kind: Kind
  private var input: [UInt8] = []
  private var inputStart = 0
  private var isFileAtEnd = false

  private enum Kind: String {
    case plain, gzip, zstd
  }

  /// Text shrinks to a third or a tenth; what unpacks to more than this is made to fill memories and disks.
  private static let largestRatio = 250
  private static let ratioMatters = 64 << 20

  /// - Throws: `DataError` for a file that cannot be opened or is no regular file.
  init(_ path: String) throws {
    self.path = path
    kind = path.hasSuffix(".gz") ? .gzip : path.hasSuffix(".zst") ? .zstd : .plain
    decoder =
      switch kind {
      case .plain: nil
      case .gzip: mmoe_gzip_decoder()
      case .zstd: mmoe_zstd_decoder()
      }
    // Without O_NONBLOCK opening a named pipe would wait for a writer.
    descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw DataError("\(path): cannot be read: \(systemMessage())") }
    var information = stat()
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      throw DataError("\(path): not a regular file")
    }
    guard kind == .plain || decoder != nil else { throw DataError("\(path): no memory to unpack it") }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    mmoe_decoder_free(decoder)
  }

  /// Reads at least one byte, or none at the end.
  ///
  /// - Throws: `DataError` for a file that cannot be read, is damaged or cut, or unpacks to too much.
  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    guard let decoder else {
      let count = try readFile(into: output)
      position += count
      return count
    }
    while true {
      if inputStart == input.count && !isFileAtEnd { try refill() }
      var (consumed, produced) = (0, 0)
      let status = input.withUnsafeBufferPointer { input in
        mmoe_decode(
          decoder, input.baseAddress.map { $0 + inputStart }, input.count - inputStart, &consumed,
          output.baseAddress?.assumingMemoryBound(to: UInt8.self), output.count, &produced)
      }
      inputStart += consumed
      position += produced
      guard Int(status) == MMOE_DECODED else { throw failure(status) }
      if position > ByteStream.ratioMatters, position / ByteStream.largestRatio > fileBytes {
        throw DataError(
          "\(path): unpacks to more than \(ByteStream.largestRatio) times its size; such a file is no text")
      }
      if produced > 0 { return produced }
      if inputStart == input.count && isFileAtEnd {
        guard mmoe_decoder_is_complete(decoder) else {
          throw DataError("\(path): ends in the middle of its \(kind.rawValue) data; fetch the file again")
        }
        return 0
      }
    }
  }

  private func failure(_ status: Int32) -> DataError {
    switch Int(status) {
    case MMOE_DECODE_WINDOW:
      DataError("\(path): needs a window of more than 128 MB; pack it again with zstd --long=27 or less")
    case MMOE_DECODE_MEMORY:
      DataError("\(path): no memory to unpack it")
    default:
      DataError("\(path): no valid \(kind.rawValue) data after \(position) bytes of text; fetch the file again")
    }
  }

  private func refill() throws {
    input = [UInt8](repeating: 0, count: 128 << 10)
    let count = try input.withUnsafeMutableBytes { try readFile(into: $0) }
    input.removeSubrange(count...)
    inputStart = 0
    isFileAtEnd = count == 0
  }

  private func readFile(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 {
        fileBytes += count
        return count
      }
      guard errno == EINTR else { throw DataError("\(path): cannot be read: \(systemMessage())") }
    }
  }
}
