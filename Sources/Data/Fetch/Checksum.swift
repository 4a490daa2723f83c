import Foundation
import MMoEFiles

/// A digest by which a file is known elsewhere, in hexadecimal digits.
package enum Checksum: Sendable, Equatable {
  case md5(String)
  case sha1(String)
  case sha256(String)

  /// For messages.
  package var name: String {
    switch self {
    case .md5: "MD5"
    case .sha1: "SHA-1"
    case .sha256: "SHA-256"
    }
  }

  package var digits: String {
    switch self {
    case .md5(let digits), .sha1(let digits), .sha256(let digits): digits
    }
  }

  /// The program of coreutils that computes it.
  private var program: String { name.lowercased().replacing("-", with: "") + "sum" }

  /// The digits of a file's content.
  ///
  /// - Throws: `DataError` for a file that cannot be read, or where coreutils are missing.
  func digits(of path: String) throws -> String {
    guard let executable = SearchPath.find(program) else {
      throw DataError(
        program, found: "no such program", remedy: "it is in a Debian package: sudo apt-get install -y coreutils")
    }
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw DataError(path, found: "cannot be read: \(systemReason(errno))")
    }
    defer { try? file.close() }
    let (said, status) = try ChildProcess(executable, [], input: file).output()
    let digits = String(decoding: said.prefix { $0 != 0x20 }, as: UTF8.self)
    guard status == 0, digits.utf8.count == self.digits.utf8.count else {
      throw DataError(path, found: "\(program) ended with status \(status)", remedy: "is the disk all right?")
    }
    return digits
  }
}
