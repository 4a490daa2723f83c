import CKernels
import MMoETensor

/// How a row of d float32 values travels. Rows that stay on their rank are copied as they are.
public enum WireFormat: String, CaseIterable, Sendable, Codable {
  case float32
  /// Half the bytes; relative error at most 2⁻⁸ a value.
  case bf16
  /// A quarter of the bytes; error at most max|row| / 254 a value.
  case int8

  /// Bytes of a row of `width` values.
  package func rowBytes(_ width: Int) -> Int {
    switch self {
    case .float32: 4 * width
    case .bf16: 2 * width
    case .int8: 4 + (width + 3) / 4 * 4
    }
  }

  func encode(_ rows: UnsafePointer<Float>, count: Int, width: Int, to wire: UnsafeMutableRawPointer) {
    switch self {
    case .float32: wire.copyMemory(from: rows, byteCount: 4 * count * width)
    case .bf16:
      mmoe_encode_bf16(wire.assumingMemoryBound(to: UInt16.self), rows, count * width)
    case .int8: mmoe_encode_int8(wire.assumingMemoryBound(to: UInt8.self), rows, count, width)
    }
  }

  func decode(_ wire: UnsafeRawPointer, count: Int, width: Int, to rows: UnsafeMutablePointer<Float>) {
    switch self {
    case .float32:
      UnsafeMutableRawPointer(rows).copyMemory(from: wire, byteCount: 4 * count * width)
    case .bf16:
      mmoe_decode_bf16(rows, wire.assumingMemoryBound(to: UInt16.self), count * width)
    case .int8: mmoe_decode_int8(rows, wire.assumingMemoryBound(to: UInt8.self), count, width)
    }
  }
}
