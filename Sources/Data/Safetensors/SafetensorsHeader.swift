import Foundation
import MMoEFiles

/// How the numbers of a tensor are stored, little-endian.
package enum SafetensorsType: String, Sendable, Codable {
  case bool = "BOOL"
  case uint8 = "U8"
  case int8 = "I8"
  case float8e4m3 = "F8_E4M3"
  case float8e5m2 = "F8_E5M2"
  case uint16 = "U16"
  case int16 = "I16"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case uint32 = "U32"
  case int32 = "I32"
  case float32 = "F32"
  case uint64 = "U64"
  case int64 = "I64"
  case float64 = "F64"

  /// Bytes of a number.
  package var size: Int {
    switch self {
    case .bool, .uint8, .int8, .float8e4m3, .float8e5m2: 1
    case .uint16, .int16, .float16, .bfloat16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    }
  }
}

/// What a safetensors file says about its tensors: 8 bytes with the length of the JSON text that follows, then the data.
///
///     {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {"key": "text"}}
///
/// Offsets count from the end of the text; the tensors cover the data without gap or overlap.
struct SafetensorsHeader: Equatable {
  struct Entry: Equatable {
    let type: SafetensorsType
    let shape: [Int]
    /// Elements.
    let count: Int
    /// Bytes, counted from the end of the header.
    let range: Range<Int>
  }

  /// The longest header; that of a model with a hundred thousand tensors is a tenth of it.
  static let limit = 100_000_000

  private(set) var entries: [String: Entry] = [:]
  private(set) var metadata: [String: String] = [:]
  /// Where the data begins in the file.
  let dataOffset: Int

  /// - Parameters:
  ///   - start: the file's first bytes; all of them, or at least the header.
  ///   - fileSize: of the whole file.
  ///   - path: for messages.
  /// - Throws: `DataError` naming the file, the tensor, what was found and what was expected.
  init(_ start: UnsafeRawBufferPointer, fileSize: Int, of path: String) throws {
    guard fileSize >= 8, start.count >= 8 else {
      throw DataError(path, found: "\(fileSize) bytes", expected: "a safetensors file, which has 8 and more")
    }
    let length = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self))
    guard length >= 2, length <= SafetensorsHeader.limit, Int(length) <= fileSize - 8, Int(length) <= start.count - 8
    else {
      throw DataError(
        path, found: "header of \(length) bytes",
        expected: "2 to \(min(SafetensorsHeader.limit, fileSize - 8)) in a file of \(fileSize)",
        remedy: "no safetensors file, or its tail is cut")
    }
    dataOffset = 8 + Int(length)
    let text = UnsafeRawBufferPointer(rebasing: start[8..<dataOffset])
    guard text[0] == UInt8(ascii: "{") else {
      throw DataError(
        path, found: "the header begins with byte \(text[0])", expected: "'{'", remedy: "no safetensors file")
    }
    try parse(text, path)
    try checkCover(fileSize - dataOffset, path)
  }

  private mutating func parse(_ text: UnsafeRawBufferPointer, _ path: String) throws {
    let document: Document
    do {
      document = try JSONDecoder().decode(Document.self, from: Data(text))
    } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
      throw DataError(
        path, found: "the header is no JSON with whole numbers", remedy: "no safetensors file, or a damaged one")
    } catch let error as DecodingError {
      let place = error.place
      throw DataError(
        "\(path): tensor '\(place.first ?? "")': \(place.dropFirst().joined(separator: ".")) is missing or of another kind; expected dtype (text), shape and data_offsets (numbers)"
      )
    }
    metadata = document.metadata
    for (name, raw) in document.entries { entries[name] = try raw.checked(name, path) }
  }

  /// Every byte of the data belongs to one tensor.
  private func checkCover(_ size: Int, _ path: String) throws {
    var end = 0
    let sorted = entries.sorted {
      ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
        < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
    }
    for (name, entry) in sorted {
      guard entry.range.lowerBound == end else {
        throw DataError(
          path, found: "tensor '\(name)': data_offsets begin at \(entry.range.lowerBound)",
          expected: "\(end), where the one before ends", remedy: "tensors must neither overlap nor leave gaps")
      }
      end = entry.range.upperBound
    }
    guard end == size else {
      throw DataError(
        path, found: "\(size) bytes of data", expected: "\(end) for its \(entries.count) tensors",
        remedy: "\(size < end ? "the tail is cut" : "something was appended"), fetch the file again")
    }
  }

  /// The text as it stands.
  private struct Document: Decodable {
    struct RawEntry: Codable {
      let dtype: String
      let shape: [Int]
      let offsets: [Int]

      enum CodingKeys: String, CodingKey {
        case dtype, shape
        case offsets = "data_offsets"
      }

      func checked(_ name: String, _ path: String) throws -> Entry {
        func refuse(_ what: String) -> DataError { DataError(path, found: "tensor '\(name)': \(what)") }
        guard let type = SafetensorsType(rawValue: dtype) else {
          throw refuse("dtype '\(dtype.prefix(20))', expected one such as F32, F16, BF16, F64, I64")
        }
        guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1] else {
          throw refuse("data_offsets \(offsets.prefix(4)), expected two numbers from 0 on, the second not smaller")
        }
        var (count, bytes) = (1, type.size)
        for dimension in shape {
          // The count of elements is checked with their size: its product is then in range too.
          let product = bytes.multipliedReportingOverflow(by: dimension)
          guard dimension >= 0, !product.overflow else {
            throw refuse("shape \(shape.prefix(8)), expected sizes from 0 on whose product fits a file")
          }
          (count, bytes) = (count * dimension, product.partialValue)
        }
        guard bytes == offsets[1] - offsets[0] else {
          throw refuse(
            "\(offsets[1] - offsets[0]) bytes at data_offsets \(offsets), expected \(bytes) for shape \(shape) of \(dtype)"
          )
        }
        return Entry(type: type, shape: shape, count: count, range: offsets[0]..<offsets[1])
      }
    }

    var entries: [String: RawEntry] = [:]
    var metadata: [String: String] = [:]

    struct Name: CodingKey {
      let stringValue: String
      var intValue: Int? { nil }
      init(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Name.self)
      for name in container.allKeys {
        if name.stringValue == SafetensorsHeader.metadataKey {
          metadata = try container.decode([String: String].self, forKey: name)
        } else {
          entries[name.stringValue] = try container.decode(RawEntry.self, forKey: name)
        }
      }
    }
  }

  static let metadataKey = "__metadata__"

  /// The first bytes of a file with these tensors in a row, padded so that the data is aligned to 8 bytes.
  static func encoded(
    _ tensors: [(name: String, type: SafetensorsType, shape: [Int])], metadata: [String: String]
  ) throws -> [UInt8] {
    struct Value: Encodable {
      let entry: Document.RawEntry?
      let metadata: [String: String]
      func encode(to encoder: any Encoder) throws {
        if let entry { try entry.encode(to: encoder) } else { try metadata.encode(to: encoder) }
      }
    }
    var document: [String: Value] = [:]
    if !metadata.isEmpty { document[metadataKey] = Value(entry: nil, metadata: metadata) }
    var end = 0
    for tensor in tensors {
      let start = end
      end += tensor.type.size * tensor.shape.reduce(1, *)
      document[tensor.name] = Value(
        entry: .init(dtype: tensor.type.rawValue, shape: tensor.shape, offsets: [start, end]), metadata: [:])
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var text = [UInt8](try encoder.encode(document))
    text += [UInt8](repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { [UInt8]($0) } + text
  }
}

extension DecodingError {
  /// The keys that lead to what could not be decoded, the missing one included.
  var place: [String] {
    switch self {
    case .keyNotFound(let key, let context): (context.codingPath + [key]).map(\.stringValue)
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      context.codingPath.map(\.stringValue)
    @unknown default: []
    }
  }
}
