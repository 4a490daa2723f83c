import Foundation
import Synchronization

/// An HTTP server of this process for a test's files, on a port that the system chooses. It closes every connection after one
/// answer.
public final class LocalServer: Sendable {
  public struct Request: Sendable {
    public let path: String
    /// The first byte that is asked for; nil = all.
    public let start: Int?
  }

  /// What goes over the connection, as it is.
  public struct Answer: Sendable {
    public var bytes: [UInt8]

    public init(_ status: String, _ fields: [String] = [], body: [UInt8] = []) {
      bytes =
        Array((["HTTP/1.1 " + status] + fields + ["Connection: close", "", ""]).joined(separator: "\r\n").utf8) + body
    }

    /// A file, or the rest of it from the byte that is asked for.
    ///
    /// - Parameter sent: bytes after which the connection is closed; nil = all.
    public static func file(_ content: [UInt8], _ request: Request, givesParts: Bool = true, sent: Int? = nil) -> Answer
    {
      let start = givesParts ? request.start ?? 0 : 0
      guard start < content.count else { return Answer("416 Range Not Satisfiable") }
      let rest = content[start...]
      var fields = ["Content-Length: \(rest.count)"]
      if givesParts, request.start != nil {
        fields.append("Content-Range: bytes \(start)-\(content.count - 1)/\(content.count)")
      }
      let body = Array(rest.prefix(sent ?? rest.count))
      return Answer(givesParts && request.start != nil ? "206 Partial Content" : "200 OK", fields, body: body)
    }
  }

  public let port: UInt16
  private let listener: Int32
  private let seen = Mutex<[Request]>([])

  /// What was asked for so far.
  public var requests: [Request] { seen.withLock { $0 } }

  /// - Parameter answer: to the request of a number, from 0.
  public init(_ answer: @escaping @Sendable (Request, Int) -> Answer) {
    // A program that a test starts meanwhile must not hold these open.
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    port = withUnsafeMutablePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        precondition(bind(listener, address, length) == 0 && listen(listener, 16) == 0, "no port for a test's server")
        getsockname(listener, address, &length)
      }
      return UInt16(bigEndian: $0.pointee.sin_port)
    }
    Thread { [weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        defer {
          shutdown(connection, Int32(SHUT_RDWR))
          close(connection)
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") {
          let count = read(connection, &buffer, buffer.count)
          guard count > 0 else { break }
          bytes += buffer[..<count]
        }
        guard let self else { return }
        let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
        let range = lines.first { $0.lowercased().hasPrefix("range: bytes=") }
        let request = Request(
          path: lines[0].components(separatedBy: " ").dropFirst().first ?? "",
          start: range.flatMap { Int($0.dropFirst("range: bytes=".count).prefix { $0 != "-" }) })
        let number = self.seen.withLock { seen in
          seen.append(request)
          return seen.count - 1
        }
        let all = answer(request, number).bytes
        var done = 0
        while done < all.count {
          let count = all[done...].withUnsafeBytes {
            send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
          }
          guard count > 0 else { break }
          done += count
        }
      }
    }.start()
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  public func address(_ path: String) -> String { "http://127.0.0.1:\(port)/\(path)" }
}
