import MMoEFiles

/// A link as it is modelled in user space: every rank stands for a host of its own, with a link that sends at a rate and
/// receives at any, and the time that a message is on its way.
package struct LinkModel: Sendable, Equatable, Codable {
  /// What a rank sends, bytes per second.
  package let bytesPerSecond: Double
  /// From the end of sending a message to its arrival, seconds.
  package let latency: Double

  package init(bytesPerSecond: Double, latency: Double = 0) {
    self.bytesPerSecond = bytesPerSecond
    self.latency = latency
  }

  /// Reads a rate such as `100mbit` or `2.5gbit`, and a latency such as `1ms` or `50us`.
  ///
  /// - Throws: `ParallelError` for anything else, and for rates and latencies that no run would end with.
  package init(rate: String, latency: String? = nil) throws {
    let bits = LinkModel.number(rate, units: ["kbit": 1e3, "mbit": 1e6, "gbit": 1e9]).map { $0.count * $0.unit }
    guard let bits, (1e6...1e12).contains(bits) else {
      throw ParallelError(
        "--link", found: rate, expected: "bits per second from 1mbit to 1000gbit, such as 100mbit or 1gbit")
    }
    let parts = LinkModel.number(latency ?? "0ms", units: ["us": 1e6, "ms": 1e3])
    guard let seconds = parts.map({ $0.count / $0.unit }), seconds <= 1 else {
      throw ParallelError("--latency", found: latency ?? "", expected: "up to 1000ms, such as 1ms or 50us")
    }
    self.init(bytesPerSecond: bits / 8, latency: seconds)
  }

  private static func number(_ text: String, units: [String: Double]) -> (count: Double, unit: Double)? {
    for (name, unit) in units where text.hasSuffix(name) {
      let digits = text.dropLast(name.count)
      guard digits.first?.isNumber == true, digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) else {
        return nil
      }
      return Double(digits).map { ($0, unit) }
    }
    return nil
  }
}
