import MMoEFiles

/// A reader of Python's pickles that knows what data sets of arrays are made of, and runs nothing: a pickle is a program, and one
/// that names any other function than numpy's constructors is refused by that name.
///
/// Opcodes are those of protocols 0 to 4 (PEP 307, PEP 3154) as far as Python 2 and 3 write dictionaries of arrays with them.
enum Pickle {
  indirect enum Value {
    case none
    case integer(Int)
    case real(Double)
    case bytes([UInt8])
    case tuple([Value])
    case list(Values)
    case dictionary(Values)
    /// A function or class.
    case name(String)
    /// What a function was called with, and the state that was set later.
    case made(Object)
    case mark

    var text: String? {
      if case .bytes(let bytes) = self { return String(decoding: bytes, as: UTF8.self) }
      return nil
    }

    var integer: Int? {
      if case .integer(let value) = self { return value }
      return nil
    }
  }

  /// Lists and dictionaries are filled after they were remembered.
  final class Values { var values: [Value] = [] }

  final class Object {
    let maker: String
    let arguments: [Value]
    var state: Value = .none
    init(_ maker: String, _ arguments: [Value]) { (self.maker, self.arguments) = (maker, arguments) }
  }

  /// The entries of a pickled dictionary by their names.
  ///
  /// - Throws: `DataError` for what is no pickle of a dictionary.
  static func dictionary(_ bytes: [UInt8], _ place: String) throws -> [String: Value] {
    var reader = PickleReader(bytes, place)
    guard case .dictionary(let entries) = try reader.value() else {
      throw DataError(place, found: "a pickle of something else", expected: "a dictionary", remedy: "download it again")
    }
    var fields: [String: Value] = [:]
    for index in stride(from: 0, to: entries.values.count - 1, by: 2) {
      if let name = entries.values[index].text { fields[name] = entries.values[index + 1] }
    }
    return fields
  }

  /// The content of a numpy array of bytes.
  ///
  /// - Throws: `DataError` for another value, type, shape or order.
  static func bytes(of value: Value?, shape: [Int], _ place: String) throws -> [UInt8] {
    guard case .made(let array)? = value, array.maker.hasSuffix("_reconstruct"), case .tuple(let state) = array.state,
      state.count == 5, case .tuple(let sides) = state[1], case .made(let type) = state[2],
      case .bytes(let content) = state[4]
    else { throw DataError(place, field: "data", found: "no numpy array", expected: "an array of images") }
    let found = sides.compactMap(\.integer)
    guard type.arguments.first?.text == "u1", state[3].integer == 0, found == shape, content.count == shape.reduce(1, *)
    else {
      throw DataError(
        place, field: "data",
        found: "an array \(found) of \(type.arguments.first?.text ?? "?"), \(content.count) bytes",
        expected: "\(shape) of u1 in C's order")
    }
    return content
  }
}

private struct PickleReader {
  private static let functions: Set<String> = [
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype",
    "_codecs.encode",
  ]

  /// The opcodes that make one.
  private static let containers: Set<UInt8> = [
    UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: "t"), UInt8(ascii: "l"), UInt8(ascii: "d"), 0x85, 0x86, 0x87,
  ]

  private let bytes: [UInt8]
  private let place: String
  private var next = 0
  private var containers = 0
  private var stack: [Pickle.Value] = []
  private var memory: [Int: Pickle.Value] = [:]

  init(_ bytes: [UInt8], _ place: String) { (self.bytes, self.place) = (bytes, place) }

  mutating func value() throws -> Pickle.Value {
    while true {
      let code = try byte()
      if code == UInt8(ascii: ".") { return try pop() }
      try run(code)
    }
  }

  private func damaged(_ what: String) -> DataError {
    DataError(place, found: "no pickle that can be read (\(what) at byte \(next))", remedy: "download it again")
  }

  private mutating func byte() throws -> UInt8 {
    guard next < bytes.count else { throw damaged("it ends") }
    next += 1
    return bytes[next - 1]
  }

  private mutating func number(_ count: Int) throws -> Int {
    try take(count).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= bytes.count - next else { throw damaged("it ends") }
    next += count
    return bytes[next - count..<next]
  }

  private mutating func line() throws -> String {
    guard let end = bytes[next...].firstIndex(of: 0x0A) else { throw damaged("it ends") }
    defer { next = end + 1 }
    return String(decoding: bytes[next..<end], as: UTF8.self)
  }

  private mutating func pop() throws -> Pickle.Value {
    guard let value = stack.popLast() else { throw damaged("an empty stack") }
    return value
  }

  /// What was pushed since the last mark, which goes.
  private mutating func sinceMark() throws -> [Pickle.Value] {
    guard let place = stack.lastIndex(where: { if case .mark = $0 { true } else { false } }) else {
      throw damaged("no mark")
    }
    defer { stack.removeSubrange(place...) }
    return Array(stack[(place + 1)...])
  }

  private mutating func extend(_ values: [Pickle.Value]) throws {
    switch stack.last {
    case .list(let list), .dictionary(let list): list.values += values
    default: throw damaged("no list to add to")
    }
  }

  private mutating func tuple(_ count: Int) throws {
    guard stack.count >= count else { throw damaged("an empty stack") }
    let values = Array(stack.suffix(count))
    stack.removeLast(count)
    stack.append(.tuple(values))
  }

  private mutating func function(_ module: String, _ name: String) throws {
    let full = module + "." + name
    guard PickleReader.functions.contains(full) else {
      throw DataError(
        place, found: "a pickle that calls \(full)", expected: "arrays alone", remedy: "do not trust this file")
    }
    stack.append(.name(full))
  }

  private mutating func call() throws {
    guard case .tuple(let arguments) = try pop(), case .name(let name) = try pop() else { throw damaged("no function") }
    guard name == "_codecs.encode" else {
      stack.append(.made(Pickle.Object(name, arguments)))
      return
    }
    // Python 3 writes bytes for protocol 2 as the text whose characters have these numbers.
    guard let text = arguments.first?.text, arguments.dropFirst().first?.text == "latin1" else {
      throw damaged("no text")
    }
    let scalars = text.unicodeScalars.map { UInt8(exactly: $0.value) }
    guard !scalars.contains(nil) else { throw damaged("no bytes") }
    stack.append(.bytes(scalars.compactMap { $0 }))
  }

  private mutating func run(_ code: UInt8) throws {
    if PickleReader.containers.contains(code) {
      // Data sets have a few; as many as there are bytes would lie in one another, deeper than a stack.
      containers += 1
      guard containers <= 4096 else { throw damaged("more than 4096 lists and tuples") }
    }
    switch code {
    case 0x80: next += 1
    case 0x95: next += 8
    case UInt8(ascii: "("): stack.append(.mark)
    case UInt8(ascii: "0"): _ = try pop()
    case UInt8(ascii: "}"): stack.append(.dictionary(Pickle.Values()))
    case UInt8(ascii: "]"): stack.append(.list(Pickle.Values()))
    case UInt8(ascii: ")"): stack.append(.tuple([]))
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88, 0x89: stack.append(.integer(code == 0x88 ? 1 : 0))
    case UInt8(ascii: "K"): stack.append(.integer(try number(1)))
    case UInt8(ascii: "M"): stack.append(.integer(try number(2)))
    case UInt8(ascii: "J"): stack.append(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))
    case UInt8(ascii: "I"):
      let text = try line()
      guard let value = Int(text) else { throw damaged("no number") }
      stack.append(.integer(value))
    case 0x8A:
      let count = Int(try byte())
      guard count <= 8 else { throw damaged("a number of \(count) bytes") }
      let value = try number(count)
      let isNegative = count > 0 && count < 8 && value >> (8 * count - 1) == 1
      stack.append(.integer(isNegative ? value - 1 << (8 * count) : value))
    case UInt8(ascii: "G"):
      stack.append(.real(Double(bitPattern: UInt64(bigEndianBytes: try take(8)))))
    case UInt8(ascii: "U"), UInt8(ascii: "C"), 0x8C: try string(lengthBytes: 1)
    case UInt8(ascii: "T"), UInt8(ascii: "B"), UInt8(ascii: "X"): try string(lengthBytes: 4)
    case 0x8D, 0x8E: try string(lengthBytes: 8)
    case UInt8(ascii: "S"):
      let text = try line()
      guard text.utf8.count >= 2, !text.contains("\\") else { throw damaged("an escaped string") }
      stack.append(.bytes(Array(text.utf8.dropFirst().dropLast())))
    case UInt8(ascii: "t"): stack.append(.tuple(try sinceMark()))
    case 0x85...0x87: try tuple(Int(code) - 0x84)
    case UInt8(ascii: "l"):
      let list = Pickle.Values()
      list.values = try sinceMark()
      stack.append(.list(list))
    case UInt8(ascii: "d"):
      let entries = Pickle.Values()
      entries.values = try sinceMark()
      stack.append(.dictionary(entries))
    case UInt8(ascii: "a"):
      let value = try pop()
      try extend([value])
    case UInt8(ascii: "e"), UInt8(ascii: "u"):
      let values = try sinceMark()
      try extend(values)
    case UInt8(ascii: "s"):
      let value = try pop()
      let key = try pop()
      try extend([key, value])
    case UInt8(ascii: "q"): try remember(number(1))
    case UInt8(ascii: "r"): try remember(number(4))
    case UInt8(ascii: "p"): try remember(Int(line()) ?? -1)
    case 0x94: try remember(memory.count)
    case UInt8(ascii: "h"): try recall(number(1))
    case UInt8(ascii: "j"): try recall(number(4))
    case UInt8(ascii: "g"): try recall(Int(line()) ?? -1)
    case UInt8(ascii: "c"):
      let module = try line()
      try function(module, line())
    case 0x93:
      guard let name = try pop().text, let module = try pop().text else { throw damaged("no name") }
      try function(module, name)
    case UInt8(ascii: "R"): try call()
    case UInt8(ascii: "b"):
      let state = try pop()
      guard case .made(let object) = stack.last else { throw damaged("no object") }
      object.state = state
    default: throw damaged("the opcode \(code)")
    }
  }

  private mutating func string(lengthBytes: Int) throws {
    let count = try number(lengthBytes)
    stack.append(.bytes(Array(try take(count))))
  }

  private mutating func remember(_ place: Int) throws {
    guard let value = stack.last else { throw damaged("an empty stack") }
    memory[place] = value
  }

  private mutating func recall(_ place: Int) throws {
    guard let value = memory[place] else { throw damaged("an unknown memory") }
    stack.append(value)
  }
}

extension UInt64 {
  fileprivate init(bigEndianBytes bytes: ArraySlice<UInt8>) { self = bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
