/// A message of protocol buffers in the making, in the encoding of version 3. Fields are written in the order of the calls.
///
/// Source: the specification of the encoding, https://protobuf.dev/programming-guides/encoding
struct ProtobufMessage {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ field: Int, _ value: Double) {
    addKey(field, wireType: 1)
    addLittleEndian(value.bitPattern)
  }

  mutating func add(_ field: Int, _ value: Float) {
    addKey(field, wireType: 5)
    addLittleEndian(value.bitPattern)
  }

  /// Whole numbers and enumerations.
  mutating func add(_ field: Int, _ value: Int) {
    addKey(field, wireType: 0)
    addVariable(UInt64(bitPattern: Int64(value)))
  }

  mutating func add(_ field: Int, _ value: String) { add(field, Array(value.utf8)) }

  mutating func add(_ field: Int, _ value: ProtobufMessage) { add(field, value.bytes) }

  mutating func add(_ field: Int, _ value: [UInt8]) {
    addKey(field, wireType: 2)
    addVariable(UInt64(value.count))
    bytes += value
  }

  /// A packed list.
  mutating func add(_ field: Int, _ values: [Double]) {
    addKey(field, wireType: 2)
    addVariable(UInt64(values.count * 8))
    for value in values { addLittleEndian(value.bitPattern) }
  }

  private mutating func addKey(_ field: Int, wireType: UInt64) { addVariable(UInt64(field) << 3 | wireType) }

  private mutating func addVariable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func addLittleEndian(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }
}
