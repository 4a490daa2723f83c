import Foundation
import MMoEFiles

/// One file from the network, by way of `curl`: written to `NAME.part`, which stays when the transfer is cut and is continued by the
/// next one, and renamed only when its size and checksum are right.
package struct Download {
  /// What was done.
  package enum Outcome: Sendable, Equatable {
    /// The file was there.
    case present
    /// So many bytes of it were.
    case fetched(continuedAfter: Int)
  }

  static let package = "curl"

  private let file: PublicSet.File
  private let address: String
  private let path: String
  private var part: String { path + ".part" }
  private let program: String

  /// - Parameters:
  ///   - address: where it is, `http://` or `https://`.
  ///   - folder: where it goes; it must exist.
  ///   - program: one that takes the arguments of `curl`, by its name on the `PATH` or its path.
  package init(_ file: PublicSet.File, from address: String, to folder: String, program: String = "curl") {
    (self.file, self.address, self.program) = (file, address, program)
    path = FilePath.join(folder, file.name)
  }

  /// Fetches the file, or looks whether what is there is right.
  ///
  /// - Parameter progress: called with the bytes that are there.
  /// - Throws: `DataError` or `FileFailure` in one line: no `curl`, an address that does not answer, a cut transfer, another size or
  ///   checksum, no room on the disk.
  package func run(progress: (_ bytes: Int) -> Void) throws -> Outcome {
    guard OutputPlace.kind(of: path) == nil else {
      try requireRight(path, remedy: "remove it, and the same command fetches it")
      return .present
    }
    let executable = try curl()
    let descriptor = try openPart()
    defer { close(descriptor) }
    // Where nothing came, nothing stays.
    defer { if (try? fileSize(part)) == 0 { unlink(part) } }
    var information = stat()
    fstat(descriptor, &information)
    var size = Int(information.st_size)
    if size > file.bytes { size = try cut(descriptor, to: 0) }
    let before = size
    try requireRoom(for: file.bytes - size)
    progress(size)
    var wasContinued = size > 0
    if size < file.bytes {
      let end = try transfer(executable, descriptor, from: size, progress)
      if end == .cannotContinue {
        _ = try cut(descriptor, to: 0)
        wasContinued = false
        _ = try transfer(executable, descriptor, from: 0, progress)
      } else {
        wasContinued = end == .continued
      }
    }
    guard fsync(descriptor) == 0 else { throw DataError(part, found: "cannot be written: \(systemReason(errno))") }
    do {
      try requireRight(part, remedy: "what came was removed; try again, or another --address")
    } catch {
      unlink(part)
      throw error
    }
    guard rename(part, path) == 0 else { throw DataError(path, found: "cannot be written: \(systemReason(errno))") }
    try DurableFile.synchronizeFolder(FilePath.folder(of: path), of: path)
    return .fetched(continuedAfter: wasContinued ? before : 0)
  }

  private func curl() throws -> String {
    guard let found = program.contains("/") ? program : SearchPath.find(program),
      FileManager.default.isExecutableFile(atPath: found)
    else {
      throw DataError(
        program, found: "no such program",
        remedy:
          "files are fetched with a Debian package: sudo apt-get install -y --no-install-recommends \(Download.package) ca-certificates"
      )
    }
    return found
  }

  // MARK: The part

  /// Opens what there is, for this process alone.
  private func openPart() throws -> Int32 {
    let descriptor = open(part, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw DataError(part, found: "cannot be written: \(systemReason(errno))") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw DataError(path, found: "is being fetched by another process", remedy: "wait for it")
    }
    return descriptor
  }

  private func cut(_ descriptor: Int32, to size: Int) throws -> Int {
    guard ftruncate(descriptor, off_t(size)) == 0 else {
      throw DataError(part, found: "cannot be written: \(systemReason(errno))")
    }
    return size
  }

  /// - Throws: `DataError` where the disk has less room than what is missing.
  private func requireRoom(for bytes: Int) throws {
    var information = statvfs()
    guard statvfs(FilePath.folder(of: path), &information) == 0 else { return }
    let room = Double(information.f_bavail) * Double(information.f_frsize)
    guard room < Double(bytes) else { return }
    throw DataError(
      FilePath.folder(of: path), found: "\(Int(room / 1e6)) MB free",
      expected: "\(bytes / 1_000_000) MB for \(file.name)",
      remedy: "free space, or name another folder with --out")
  }

  private func requireRight(_ path: String, remedy: String) throws {
    let size = try fileSize(path)
    guard size == file.bytes else {
      throw DataError(path, found: "\(size) bytes", expected: "\(file.bytes)", remedy: remedy)
    }
    let digits = try file.checksum.digits(of: path)
    guard digits == file.checksum.digits else {
      throw DataError(
        path, field: "the \(file.checksum.name)", found: digits, expected: file.checksum.digits, remedy: remedy)
    }
  }

  // MARK: The transfer

  private enum End {
    case whole, continued
    /// The server has nothing after what there is, so that is something else.
    case cannotContinue
  }

  /// Writes what comes behind `start`, or everything where the server does not give parts.
  private func transfer(
    _ executable: String, _ descriptor: Int32, from start: Int, _ progress: (Int) -> Void
  ) throws -> End {
    let child = try ChildProcess(executable, arguments(from: start))
    var head = ResponseHead()
    var place = start
    var end = End.whole
    do {
      while true {
        var bytes = try child.read(upTo: 1 << 18)[...]
        guard !bytes.isEmpty else { break }
        if !head.isComplete {
          bytes = try head.take(bytes, address)
          guard head.isComplete else { continue }
          if head.status < 400 {
            end = try begin(head, start)
            if end == .whole { place = try cut(descriptor, to: 0) }
          }
        }
        // What the server says of a failure is no part of the file.
        guard head.status < 400 else { continue }
        guard place + bytes.count <= file.bytes else {
          _ = try cut(descriptor, to: 0)
          throw DataError(
            address, found: "more than \(file.bytes) bytes", expected: "\(file.name)", remedy: otherAddress)
        }
        try write(bytes, descriptor, at: place)
        place += bytes.count
        progress(place)
      }
    } catch {
      child.stop()
      throw error
    }
    let (message, status) = child.wait()
    if status == 22, start > 0, message.hasSuffix("416") { return .cannotContinue }
    guard status == 0, place == file.bytes else { throw failure(message, status, start, place) }
    return end
  }

  private func arguments(from start: Int) -> [String] {
    // The user's own settings could send the output elsewhere.
    [
      "--disable", "--silent", "--show-error", "--fail", "--location", "--max-redirs", "10", "--include",
      "--suppress-connect-headers", "--globoff", "--proto", "=http,https", "--proto-redir", "=http,https",
      "--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60",
    ] + (start > 0 ? ["--range", "\(start)-"] : []) + ["--url", address]
  }

  /// Looks at what the server says of the bytes that follow.
  private func begin(_ head: ResponseHead, _ start: Int) throws -> End {
    let isPart = head.status == 206
    if isPart, head.start != start {
      throw DataError(
        address, found: "bytes from \(head.start.map(String.init) ?? "an unknown place")",
        expected: "those from \(start)",
        remedy: "remove \(part), and try again")
    }
    let total = head.length.map { $0 + (isPart ? start : 0) }
    if let total, total != file.bytes {
      throw DataError(address, found: "\(total) bytes", expected: "\(file.bytes) of \(file.name)", remedy: otherAddress)
    }
    return isPart ? .continued : .whole
  }

  private var otherAddress: String { "name another one with --address" }

  private func write(_ bytes: ArraySlice<UInt8>, _ descriptor: Int32, at start: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress! + done, $0.count - done, off_t(start + done))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        throw DataError(
          part, found: "cannot be written: \(systemReason(errno))",
          remedy: "free space; the same command goes on from there")
      }
      done += count
    }
  }

  private func failure(_ message: String, _ status: Int32, _ start: Int, _ place: Int) -> DataError {
    let prefix = "curl: (\(status)) "
    let reason = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
    let words = reason.isEmpty ? (status == 0 ? "" : "curl ended with status \(status)") : reason
    guard place > start else {
      return DataError(address, found: words.isEmpty ? "nothing came" : words, remedy: otherAddress)
    }
    return DataError(
      address, found: "cut after \(place) of \(file.bytes) bytes\(words.isEmpty ? "" : " (\(words))")",
      remedy: "the same command goes on from there")
  }
}

/// The head of an HTTP response as it comes, behind those of redirections.
struct ResponseHead {
  private(set) var status = 0
  /// Bytes that follow, where the server says it.
  private(set) var length: Int?
  /// Of a part, its first byte.
  private(set) var start: Int?
  private(set) var isComplete = false
  private var bytes: [UInt8] = []

  private static let limit = 1 << 18

  /// Takes bytes until the head is complete.
  ///
  /// - Returns: those behind it.
  /// - Throws: `DataError` for what is no head.
  mutating func take(_ more: ArraySlice<UInt8>, _ address: String) throws -> ArraySlice<UInt8> {
    bytes += more
    while let end = ResponseHead.end(of: bytes) {
      try read(String(decoding: bytes[..<end], as: UTF8.self), address)
      bytes.removeSubrange(..<end)
      // Others follow.
      if 100..<200 ~= status || 300..<400 ~= status { continue }
      isComplete = true
      defer { bytes = [] }
      return bytes[...]
    }
    guard bytes.count < ResponseHead.limit, bytes.prefix(5).elementsEqual("HTTP/".utf8.prefix(bytes.count)) else {
      throw DataError(address, found: "no answer in HTTP", remedy: "name another one with --address")
    }
    return []
  }

  private static func end(of bytes: [UInt8]) -> Int? {
    for place in bytes.indices where bytes[place] == 0x0A {
      if bytes[..<place].last == 0x0A { return place + 1 }
      if place > 2, bytes[place - 1] == 0x0D, bytes[place - 2] == 0x0A { return place + 1 }
    }
    return nil
  }

  private mutating func read(_ text: String, _ address: String) throws {
    (length, start) = (nil, nil)
    // A scalar view: in Swift a line break of two characters is one.
    let lines = text.unicodeScalars.split { $0 == "\n" || $0 == "\r" }.map { String($0) }
    let words = lines.first?.split(separator: " ") ?? []
    guard words.count > 1, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else {
      throw DataError(address, found: "no answer in HTTP", remedy: "name another one with --address")
    }
    self.status = status
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      guard parts.count == 2 else { continue }
      switch parts[0].lowercased() {
      case "content-length": length = Int(parts[1])
      case "content-range":
        // `bytes 100-999/1000`
        start = parts[1].split(separator: " ").last.flatMap { $0.split(separator: "-").first }.flatMap { Int($0) }
      default: break
      }
    }
  }
}
