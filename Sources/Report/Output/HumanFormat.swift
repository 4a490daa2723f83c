import Foundation

/// Numbers as people read them. Values that are not finite show as such.
package enum HumanFormat {
  /// `950`, `1.2 k`, `34.5 M`, `6.7 G`, `8.9 T`.
  package static func count(_ value: Double) -> String {
    scaled(value, units: ["", " k", " M", " G", " T", " P"])
  }

  /// `950`, `1.2 k`, `34.5 M`.
  package static func count(_ value: Int) -> String { count(Double(value)) }

  /// `512 B`, `3.4 GB`; powers of 1000, as disks and memory are sold.
  package static func bytes(_ value: Int) -> String {
    scaled(Double(value), units: [" B", " kB", " MB", " GB", " TB", " PB"])
  }

  /// `0.42s`, `9.3s`, `1m23s`, `2h05m`, `3d04h`.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "–" }
    if seconds < 0.995 { return fixed(seconds, 2) + "s" }
    if seconds < 9.95 { return fixed(seconds, 1) + "s" }
    let whole = Int(seconds.rounded())
    func pair(_ high: Int, _ highUnit: String, _ low: Int, _ lowUnit: String) -> String {
      "\(high)\(highUnit)\(low < 10 ? "0" : "")\(low)\(lowUnit)"
    }
    switch whole {
    case ..<60: return "\(whole)s"
    case ..<3600: return pair(whole / 60, "m", whole % 60, "s")
    case ..<86400: return pair(whole / 3600, "h", whole % 3600 / 60, "m")
    default: return pair(whole / 86400, "d", whole % 86400 / 3600, "h")
    }
  }

  /// `91.3 %` of a share of one.
  package static func percent(_ share: Double, digits: Int = 1) -> String {
    fixed(share * 100, digits) + " %"
  }

  /// A number with so many digits after the point.
  package static func fixed(_ value: Double, _ digits: Int) -> String {
    let text = value.isNaN ? "nan" : String(format: "%.\(digits)f", value)
    // No sign on what rounds to zero.
    return text.hasPrefix("-") && !text.contains { "123456789".contains($0) } ? String(text.dropFirst()) : text
  }

  /// All digits of a number in a message; a NaN without its sign, which says nothing and differs between processors.
  package static func exact<Value: BinaryFloatingPoint & CustomStringConvertible>(_ value: Value) -> String {
    value.isNaN ? "nan" : value.description
  }

  /// A whole number with commas: `12,345`.
  package static func grouped(_ value: Int) -> String {
    var digits = String(value.magnitude)[...]
    var groups: [Substring] = []
    while digits.count > 3 {
      groups.insert(digits.suffix(3), at: 0)
      digits = digits.dropLast(3)
    }
    return (value < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
  }

  private static func scaled(_ value: Double, units: [String]) -> String {
    guard value.isFinite else { return "\(value)" }
    var scaled = value
    var unit = 0
    // 999.95 would be rounded to "1000.0".
    while abs(scaled) >= (unit == 0 ? 999.5 : 999.95), unit + 1 < units.count {
      scaled /= 1000
      unit += 1
    }
    let whole = unit == 0 && scaled == scaled.rounded()
    return fixed(scaled, whole ? 0 : 1) + units[unit]
  }
}
