import Foundation
import MMoEFiles
import MMoETensor
import TestSupport
import Testing

@testable import MMoEData

/// Files from the network, from a server of the test's own.
@Suite(.enabled(if: SearchPath.find("curl") != nil, "curl is not installed")) struct DownloadTests {
  private let folder: TemporaryFolder
  /// More than one read of a pipe.
  static let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

  init() throws { folder = try TemporaryFolder() }

  private var path: String { folder.path + "/a b.bin" }
  private var part: String { path + ".part" }

  private func content(_ path: String) -> [UInt8]? { FileManager.default.contents(atPath: path).map { [UInt8]($0) } }

  /// A file of these sizes and digests, whose right ones coreutils say.
  private func file(bytes: Int = content.count, _ checksum: Checksum? = nil) throws -> PublicSet.File {
    let known = try folder.write("known", DownloadTests.content)
    let right = Checksum.sha256(try Checksum.sha256(String(repeating: "0", count: 64)).digits(of: known))
    return PublicSet.File("a b.bin", "", bytes: bytes, checksum ?? right)
  }

  private func fetch(
    _ address: String, _ file: PublicSet.File? = nil, program: String = "curl", progress: (Int) -> Void = { _ in }
  ) throws -> Download.Outcome {
    try Download(file ?? self.file(), from: address, to: folder.path, program: program).run(progress: progress)
  }

  @Test func wholeFile() throws {
    let server = LocalServer { request, number in
      // Behind an address that has moved.
      number == 0
        ? .init("302 Found", ["Location: /there", "Content-Length: 4"], body: Array("here".utf8))
        : .file(DownloadTests.content, request)
    }
    var seen: [Int] = []
    #expect(try fetch(server.address("x[1-2]{a,b}?q=1")) { seen.append($0) } == .fetched(continuedAfter: 0))
    #expect(content(path) == DownloadTests.content && content(part) == nil)
    #expect(seen.last == DownloadTests.content.count && seen == seen.sorted() && seen.count > 1)
    #expect(server.requests.map(\.path).last == "/there" && server.requests.allSatisfy { $0.start == nil })
    // What is there is looked at, and not fetched again.
    #expect(try fetch(server.address("x")) == .present)
    #expect(server.requests.count == 2)
  }

  /// A transfer that was cut goes on where it was; from the beginning where the server gives no parts, or says that there
  /// are none.
  @Test(arguments: [0, 1, 2]) func cutsAreContinued(kind: Int) throws {
    let sent = 123_456
    let server = LocalServer { request, number in
      if number == 0 { return .file(DownloadTests.content, request, sent: sent) }
      if kind == 2, request.start != nil { return .init("416 Range Not Satisfiable") }
      return .file(DownloadTests.content, request, givesParts: kind == 0)
    }
    let cut = message { _ = try fetch(server.address("x")) }
    #expect(cut?.hasPrefix("\(server.address("x")): cut after \(sent) of 300000 bytes (") == true, "\(cut ?? "")")
    #expect(cut?.hasSuffix("; the same command goes on from there") == true && cut?.contains("\n") == false)
    #expect(content(part) == Array(DownloadTests.content.prefix(sent)) && content(path) == nil)
    var first: Int?
    #expect(try fetch(server.address("x")) { first = first ?? $0 } == .fetched(continuedAfter: kind == 0 ? sent : 0))
    #expect(server.requests.dropFirst().map(\.start) == [[sent], [sent], [sent, nil]][kind])
    #expect(content(path) == DownloadTests.content && content(part) == nil)
    #expect(first == sent)
  }

  /// What is there already, whole or too much, is not believed before its checksum is right.
  @Test func partsOfAnotherFile() throws {
    let server = LocalServer { request, _ in .file(DownloadTests.content, request) }
    try folder.write("a b.bin.part", [UInt8](repeating: 7, count: 1000))
    let wrong = message { _ = try fetch(server.address("x")) }
    #expect(wrong?.contains("the SHA-256 is ") == true && wrong?.contains("what came was removed") == true)
    #expect(content(path) == nil && content(part) == nil)
    // All of it, cut before it was renamed.
    try folder.write("a b.bin.part", DownloadTests.content)
    #expect(try fetch("http://127.0.0.1:1/") == .fetched(continuedAfter: 300_000))
    try FileManager.default.removeItem(atPath: path)
    try folder.write("a b.bin.part", [UInt8](repeating: 7, count: 300_001))
    #expect(try fetch(server.address("x")) == .fetched(continuedAfter: 0) && content(path) == DownloadTests.content)
    // What has the name is never replaced.
    try folder.write("a b.bin", [1, 2])
    #expect(
      message { _ = try fetch(server.address("x")) }
        == "\(path): 2 bytes, expected 300000; remove it, and the same command fetches it")
    #expect(content(path) == [1, 2])
  }

  /// Known digests of known contents, and the error of a wrong one.
  @Test(arguments: [
    (Checksum.md5("d41d8cd98f00b204e9800998ecf8427e"), "MD5"),
    (.sha1("da39a3ee5e6b4b0d3255bfef95601890afd80709"), "SHA-1"),
    (.sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "SHA-256"),
  ]) func checksums(ofNothing: Checksum, name: String) throws {
    let empty = try folder.write("back\\slash\nname", [])
    #expect(try ofNothing.digits(of: empty) == ofNothing.digits && ofNothing.name == name)
    let server = LocalServer { request, _ in .file(DownloadTests.content, request) }
    let wrong = message { _ = try fetch(server.address("x"), file(ofNothing)) }
    let found = try ofNothing.digits(of: folder.path + "/known")
    #expect(
      wrong
        == "\(part): the \(name) is \(found), expected \(ofNothing.digits); what came was removed; try again, or another --address"
    )
    #expect(content(path) == nil && content(part) == nil)
  }

  /// One line each, and nothing under the final name.
  @Test(arguments: [
    ("404", "The requested URL returned error: 404; name another one with --address"),
    ("length", "7 bytes, expected 300000 of a b.bin; name another one with --address"),
    ("more", "more than 300000 bytes, expected a b.bin"),
    ("less", "cut after 9 of 300000 bytes; the same command goes on"),
    ("empty", "nothing came"), ("words", "name another one with --address"),
    ("place", "bytes from 0, expected those from 5"),
  ]) func badAnswers(kind: String, words: String) throws {
    let server = LocalServer { _, _ in
      switch kind {
      case "404": return .init("404 Not Found", ["Content-Length: 2"], body: [1, 2])
      case "length": return .init("200 OK", ["Content-Length: 7"], body: Array("<html/>".utf8))
      case "more": return .init("200 OK", body: DownloadTests.content + [1])
      case "less": return .init("200 OK", body: Array(repeating: 1, count: 9))
      case "empty": return .init("200 OK")
      case "place":
        return .init("206 Partial Content", ["Content-Range: bytes 0-299999/300000"], body: DownloadTests.content)
      default:
        var answer = LocalServer.Answer("200")
        answer.bytes = Array("SSH-2.0-OpenSSH_9\r\n".utf8)
        return answer
      }
    }
    if kind == "place" { try folder.write("a b.bin.part", Array(DownloadTests.content.prefix(5))) }
    let said = message { _ = try fetch(server.address("x")) } ?? ""
    #expect(said.contains(words) && said.hasPrefix(server.address("x")) && !said.contains("\n"), "\(said)")
    #expect(
      content(path) == nil && (content(part) == nil) == ["404", "length", "more", "empty", "words"].contains(kind))
  }

  @Test func nobodyAnswers() throws {
    let said = message { _ = try fetch("http://127.0.0.1:1/x") } ?? ""
    #expect(said.hasPrefix("http://127.0.0.1:1/x: Failed to connect to 127.0.0.1 port 1"), "\(said)")
    #expect(message { _ = try fetch("file:///etc/passwd") }?.contains("rotocol") == true && content(path) == nil)
    #expect(
      message { _ = try fetch("http://127.0.0.1:1/x", program: "no-such-curl") }?.hasPrefix(
        "no-such-curl: no such program; files are fetched with a Debian package: sudo apt-get install") == true)
  }

  /// Before anything is fetched: no room, another process at the same file, a folder that is none.
  @Test func placesAreLookedAt() throws {
    let server = LocalServer { request, _ in .file(DownloadTests.content, request) }
    let room = message { _ = try fetch(server.address("x"), file(bytes: 1 << 60)) } ?? ""
    #expect(
      room.hasPrefix("\(folder.path): ") && room.contains(" MB free, expected 1152921504606 MB for a b.bin"), "\(room)")
    let other = open(part, O_RDWR | O_CREAT, 0o644)
    defer { close(other) }
    #expect(flock(other, LOCK_EX | LOCK_NB) == 0)
    #expect(
      message { _ = try fetch(server.address("x")) } == "\(path): is being fetched by another process; wait for it")
    let download = try Download(file(), from: server.address("x"), to: folder.path + "/none")
    #expect(message { _ = try download.run { _ in } }?.contains("a b.bin.part: cannot be written: ") == true)
    #expect(server.requests.isEmpty)
  }

  /// A head is the same however its bytes come, and no bytes end the process.
  @Test func heads() throws {
    let text =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 301 Moved\nLocation: x\n\nHTTP/2 206 \r\ncontent-LENGTH:  12 \r\n"
      + "Content-Range: bytes 30-41/42\r\nX: ü\r\n\r\nbody\r\n\r\n"
    for size in [1, 2, 7, 1000] {
      var head = ResponseHead()
      var rest: [UInt8] = []
      let bytes = Array(text.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        let more = bytes[start..<min(start + size, bytes.count)]
        rest += head.isComplete ? more : try head.take(more, "x")
      }
      #expect((head.status, head.length, head.start) == (206, 12, 30) && rest.elementsEqual("body\r\n\r\n".utf8))
    }
    let random = CounterRandom(seed: 3, purpose: .test)
    for round in 0..<300 {
      var bytes = Array(text.utf8)
      for change in 0..<4 {
        bytes[random.integer(UInt64(8 * round + change), below: bytes.count)] = UInt8(
          random.integer(UInt64(8 * round + change + 4), below: 256))
      }
      var head = ResponseHead()
      _ = try? head.take(bytes[...], "x")
    }
  }

  // MARK: The table

  @Test(arguments: PublicSet.shipped.map(\.name)) func entriesAreWhole(name: String) throws {
    let set = try #require(PublicSet.registry[name])
    for file in set.files {
      let length =
        switch file.checksum {
        case .md5: 32
        case .sha1: 40
        case .sha256: 64
        }
      #expect(
        file.checksum.digits.count == length && file.checksum.digits.allSatisfy { "0123456789abcdef".contains($0) })
      #expect(file.address.hasPrefix("http") && file.address.hasSuffix("/" + file.name) && file.bytes > 1000)
    }
    #expect(!set.license.isEmpty && set.source.contains("/") && !set.isTested)
    #expect(set.commands(in: "/a b").allSatisfy { $0.contains("'/a b'") && !$0.contains("FOLDER") })
    #expect(set.commands(in: "/a b").last?.contains("mmoe train --task ") == true)
  }

  @Test func entriesDiffer() {
    let names = PublicSet.shipped.map(\.name)
    #expect(names == names.sorted() && Set(names).count == names.count)
    let digits = PublicSet.shipped.flatMap { $0.files.map(\.checksum.digits) }
    #expect(Set(digits).count == digits.count)
    let two = PublicSet.registry["mnist"]!
    #expect(two.addresses(at: "http://m/x").first == "http://m/x/train-images-idx3-ubyte.gz" && two.files.count == 4)
    let one = PublicSet.registry["cifar-10"]!
    #expect(one.addresses(at: "http://m/x") == ["http://m/x"])
    #expect(one.addresses(at: "http://m/x/") == ["http://m/x/cifar-10-binary.tar.gz"])
  }
}
