import CCompress
import Foundation
import MMoEFiles

/// The bytes of a file from its beginning, unpacked where it is gzip or zstd. Memory does not grow with the file.
///
/// A text is looked at before any of it is given out: what is no text is refused by its kind, and a byte order mark is
/// dropped.
final class ByteStream {
  enum Content {
    case text
    /// Numbers without a header: the first of them can look like a short signature.
    case numbers
  }

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
  /// What was unpacked and is not given out yet: the beginning, after it was looked at.
  private var beginning: ArraySlice<UInt8> = []
  /// Bytes unpacked so far.
  private var unpacked = 0

  private enum Kind: String {
    case plain, gzip, zstd

    /// By content. A name that promises a packed file is believed too: what is damaged in its first bytes is no text.
    init(_ path: String, _ descriptor: Int32, _ content: Content) {
      var start = [UInt8](repeating: 0, count: 4)
      let count = max(0, pread(descriptor, &start, start.count, 0))
      let name = path.lowercased()
      if content == .text, count >= 3, start.starts(with: [0x1F, 0x8B, 8]) {
        self = .gzip
      } else if content == .text, count == 4,
        start[1...] == [0xB5, 0x2F, 0xFD] && start[0] == 0x28 || Kind.isSkippable(start)
      {
        self = .zstd
      } else {
        self = name.hasSuffix(".gz") ? .gzip : name.hasSuffix(".zst") ? .zstd : .plain
      }
    }

    /// A frame of other programs' notes, with which zstd files of pzstd begin.
    private static func isSkippable(_ start: [UInt8]) -> Bool {
      0x50...0x5F ~= start[0] && start[1...] == [0x2A, 0x4D, 0x18]
    }
  }

  /// Text shrinks to a third or a tenth; what unpacks to more than this is made to fill memories and disks.
  private static let largestRatio = 250
  private static let ratioMatters = 64 << 20

  /// - Throws: `DataError` for a file that cannot be opened, is no regular file, or is not what it should be.
  init(_ path: String, of content: Content = .text) throws {
    self.path = path
    // Without O_NONBLOCK opening a named pipe would wait for a writer.
    descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    let failure = systemReason(errno)
    kind = Kind(path, descriptor, content)
    decoder =
      switch kind {
      case .plain: nil
      case .gzip: mmoe_gzip_decoder()
      case .zstd: mmoe_zstd_decoder()
      }
    guard descriptor >= 0 else { throw DataError(path, found: "cannot be read: \(failure)") }
    var information = stat()
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      throw DataError(path, found: "not a regular file")
    }
    guard kind == .plain || decoder != nil else { throw DataError(path, found: "no memory to unpack it") }
    try look(at: content)
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    mmoe_decoder_free(decoder)
  }

  /// Reads at least one byte, or none at the end.
  ///
  /// - Throws: `DataError` for a file that cannot be read, is damaged or cut, or unpacks to too much.
  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    guard beginning.isEmpty else {
      let count = min(beginning.count, output.count)
      output.copyBytes(from: beginning.prefix(count))
      beginning.removeFirst(count)
      position += count
      return count
    }
    let count = try unpack(into: output)
    position += count
    return count
  }

  private func look(at content: Content) throws {
    var sample = [UInt8](repeating: 0, count: FileKind.sampleSize)
    var count = 0
    try sample.withUnsafeMutableBytes { bytes in
      while count < bytes.count {
        let more = try unpack(into: UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
        guard more > 0 else { break }
        count += more
      }
    }
    sample.removeSubrange(count...)
    switch content {
    case .text:
      beginning = sample[...]
      if sample.starts(with: FileKind.byteOrderMark) {
        beginning = beginning.dropFirst(FileKind.byteOrderMark.count)
      }
      if let other = FileKind.otherThanText(Array(beginning)) {
        let place = kind == .plain ? "" : " in a \(kind.rawValue) file"
        throw DataError(path, found: "\(other.name)\(place)", expected: "text in UTF-8", remedy: "\(other.remedy)")
      }
    case .numbers:
      beginning = sample[...]
      if let other = FileKind.signed(sample, atLeast: 4) {
        throw DataError(
          path, found: "\(other.name)", expected: "token ids without a header",
          remedy: "\(other.numbersRemedy ?? "name a file such as nanoGPT's train.bin")")
      }
      if sample.count >= 64, FileKind.isPrintable(sample) {
        throw DataError(
          path, found: "a text", expected: "token ids", remedy: "`mmoe data tokenize` makes them of texts")
      }
    }
  }

  private func unpack(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    guard let decoder else { return try readFile(into: output) }
    while true {
      if inputStart == input.count && !isFileAtEnd { try refill() }
      var (consumed, produced) = (0, 0)
      let status = input.withUnsafeBufferPointer { input in
        mmoe_decode(
          decoder, input.baseAddress.map { $0 + inputStart }, input.count - inputStart, &consumed,
          output.baseAddress?.assumingMemoryBound(to: UInt8.self), output.count, &produced)
      }
      inputStart += consumed
      unpacked += produced
      guard Int(status) == MMOE_DECODED else { throw failure(status) }
      if unpacked > ByteStream.ratioMatters, unpacked / ByteStream.largestRatio > fileBytes {
        throw DataError(
          path, found: "unpacks to more than \(ByteStream.largestRatio) times its size",
          remedy: "such a file is no text")
      }
      if produced > 0 { return produced }
      if inputStart == input.count && isFileAtEnd {
        guard mmoe_decoder_is_complete(decoder) else {
          throw DataError(
            path, found: "ends in the middle of its \(kind.rawValue) data", remedy: "fetch the file again")
        }
        return 0
      }
    }
  }

  private func failure(_ status: Int32) -> DataError {
    switch Int(status) {
    case MMOE_DECODE_WINDOW:
      DataError(path, found: "needs a window of more than 128 MB", remedy: "pack it again with zstd --long=27 or less")
    case MMOE_DECODE_MEMORY:
      DataError(path, found: "no memory to unpack it")
    default:
      DataError(
        path, found: "no valid \(kind.rawValue) data after \(unpacked) bytes of text", remedy: "fetch the file again")
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
      guard errno == EINTR else { throw DataError(path, found: "cannot be read: \(systemReason(errno))") }
    }
  }
}

/// Reads a whole text, unpacked, without its byte order mark.
///
/// - Parameter limit: the largest size in bytes.
/// - Throws: `DataError` naming the file: missing, unreadable, no text, damaged, or larger than `limit`.
package func readText(_ path: String, limit: Int = 1 << 34) throws -> [UInt8] {
  let window = TextWindow(try ByteStream(path))
  try window.fill(limit + 1)
  guard window.count <= limit else {
    throw DataError(path, found: "more than \(limit) bytes of text, the limit for a file that is read as a whole")
  }
  return window.take(window.count)
}
