/// Turns bytes that come a token at a time into text: a character that is not complete waits for its rest, so that
/// nothing broken is shown.
struct UTF8Stream {
  private var pending: [UInt8] = []

  /// The text that is complete after these bytes.
  mutating func add(_ bytes: [UInt8]) -> String {
    pending += bytes
    let ready = pending.count - incompleteTail
    defer { pending.removeFirst(ready) }
    return String(decoding: pending.prefix(ready), as: UTF8.self)
  }

  /// What is left, with a replacement character for an incomplete one.
  mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// Bytes at the end that begin a character and may be completed.
  private var incompleteTail: Int {
    for back in 1...4 where back <= pending.count {
      let byte = pending[pending.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length = byte >= 0xF0 && byte < 0xF5 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
      return byte < 0xF5 && length > back ? back : 0
    }
    return 0
  }
}

/// Ends a text before the first stop string; holds back what may be the beginning of one.
struct StopStrings {
  private let stops: [String]
  private var held = ""

  init(_ stops: [String]) { self.stops = stops.filter { !$0.isEmpty } }

  /// The text that may be shown, and whether a stop string was met.
  mutating func add(_ text: String) -> (shown: String, isStopped: Bool) {
    guard !stops.isEmpty else { return (text, false) }
    held += text
    let found = stops.compactMap { held.firstRange(of: $0) }.min { $0.lowerBound < $1.lowerBound }
    if let found { return (String(held[..<found.lowerBound]), true) }
    let tail = (1...max(1, stops.map(\.count).max()!)).reversed().first { count in
      stops.contains { $0.count > count && held.hasSuffix($0.prefix(count)) }
    }
    let split = held.index(held.endIndex, offsetBy: -(tail ?? 0))
    defer { held = String(held[split...]) }
    return (String(held[..<split]), false)
  }

  /// What was held back at the end.
  mutating func finish() -> String {
    defer { held = "" }
    return held
  }
}
