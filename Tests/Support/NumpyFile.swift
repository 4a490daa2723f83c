import Foundation

/// An array from a `.npy` file: float32 or int64, little-endian, as the parity models' inputs and results are
/// stored.
public struct NumpyFile {
  public let shape: [Int]
  /// Integers are converted.
  public let values: [Float]
  /// Empty unless the file holds integers.
  public let integers: [Int]

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  /// - Throws: `Failure` naming the file and what it holds instead.
  public init(_ path: String) throws {
    func refuse(_ what: String) -> Failure { Failure(description: "\(path): \(what)") }
    guard let data = FileManager.default.contents(atPath: path) else { throw refuse("cannot be read") }
    let bytes = [UInt8](data)
    guard bytes.count >= 12, bytes[..<6] == [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], 1...3 ~= bytes[6] else {
      throw refuse("no .npy file of version 1 to 3")
    }
    let lengthSize = bytes[6] == 1 ? 2 : 4
    let length = (0..<lengthSize).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
    let start = 8 + lengthSize + length
    guard start <= bytes.count else { throw refuse("its header is cut") }
    let header = String(decoding: bytes[8 + lengthSize..<start], as: UTF8.self)
    func field(_ name: String, upTo end: Character) -> String? {
      guard let key = header.range(of: "'\(name)':") else { return nil }
      return header[key.upperBound...].drop { $0 == " " }.prefix { $0 != end }.description
    }
    guard let order = field("fortran_order", upTo: ","), let type = field("descr", upTo: ","),
      let list = field("shape", upTo: ")")
    else { throw refuse("header \(header) is not of an array") }
    let shape = list.dropFirst().split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    let count = shape.reduce(1, *)
    let size = type == "'<f4'" ? 4 : 8
    guard type == "'<f4'" || type == "'<i8'", bytes.count - start == count * size else {
      throw refuse("\(bytes.count - start) bytes of \(type), expected \(count) numbers of <f4 or <i8")
    }
    let (stored, integers) = bytes.withUnsafeBytes { raw -> ([Float], [Int]) in
      guard size == 8 else {
        return ((0..<count).map { raw.loadUnaligned(fromByteOffset: start + 4 * $0, as: Float.self) }, [])
      }
      let integers = (0..<count).map { Int(raw.loadUnaligned(fromByteOffset: start + 8 * $0, as: Int64.self)) }
      return (integers.map(Float.init), integers)
    }
    self.shape = shape
    guard order == "True" else {
      (values, self.integers) = (stored, integers)
      return
    }
    guard size == 4, shape.count == 2 else { throw refuse("a column-major array, expected a matrix of <f4") }
    self.integers = []
    values = (0..<count).map { stored[$0 % shape[1] * shape[0] + $0 / shape[1]] }
  }
}

/// Folders of data that lies beside the checkout on some machines; tests that need one are skipped where it is absent.
public enum SharedData {
  /// A folder such as `parity/gpt2-tiny-random`, or nil.
  public static func folder(_ name: String) -> String? {
    let beside = ProgramRunner.package + "/../shared/data"
    let path = (ProcessInfo.processInfo.environment["MMOE_SHARED_DATA"] ?? beside) + "/" + name
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }
}
