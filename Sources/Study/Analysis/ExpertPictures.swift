import MMoEData
import MMoETensor
import MMoETrain

/// Which expert takes which patch, drawn over the pictures.
enum ExpertPictures {
  /// Colors that differ in hue and lightness, by name; experts beyond them begin again.
  static let colors: [(name: String, rgb: SIMD3<Float>)] = [
    ("blue", SIMD3(31, 119, 230)), ("orange", SIMD3(255, 140, 0)), ("green", SIMD3(30, 160, 50)),
    ("red", SIMD3(220, 30, 40)), ("violet", SIMD3(150, 80, 210)), ("brown", SIMD3(130, 80, 40)),
    ("pink", SIMD3(255, 130, 200)), ("grey", SIMD3(110, 110, 110)), ("yellow", SIMD3(230, 220, 30)),
    ("cyan", SIMD3(20, 210, 220)),
  ]

  /// How strongly a patch is tinted.
  private static let tint: Float = 0.55

  /// A row for each picture: as it is, then for every call with its patches in the colors of their first experts. Nil
  /// without pictures.
  static func sheet(_ measured: RoutingMeasurement) -> RGBImage? {
    guard !measured.pictures.isEmpty else { return nil }
    let cells = measured.pictures.flatMap { picture in
      [picture.image] + measured.calls.map { tinted(picture, by: $0) }
    }
    return ContactSheet(columns: 1 + measured.calls.count).image(cells)
  }

  static func tinted(_ picture: ProbedPicture, by call: CallMeasurement) -> RGBImage {
    let size = picture.image.width
    let patch = size / picture.side
    var pixels = picture.image.pixels
    for y in 0..<size {
      for x in 0..<size {
        let row = picture.row + y / patch * picture.side + x / patch
        let first = Int(call.choices[row * call.k])
        let at = (y * size + x) * 3
        // Under the tint the picture is grey: its own colors would be taken for experts.
        let light = 0.299 * Float(pixels[at]) + 0.587 * Float(pixels[at + 1]) + 0.114 * Float(pixels[at + 2])
        // Without an expert it stays grey.
        let color = first < 0 ? SIMD3(repeating: light) : colors[first % colors.count].rgb
        for c in 0..<3 { pixels[at + c] = UInt8((1 - tint) * light + tint * color[c]) }
      }
    }
    return RGBImage(width: size, height: size, pixels: pixels)
  }

  /// What the sheet shows, for a terminal; nil without pictures.
  static func legend(_ measured: RoutingMeasurement) -> String? {
    guard !measured.pictures.isEmpty else { return nil }
    let experts = measured.calls.map(\.experts).max() ?? 0
    let names = colors.enumerated().prefix(experts).map { first, color in
      stride(from: first, to: experts, by: colors.count).map(String.init).joined(separator: "/") + " \(color.name)"
    }
    return "patches.png, from the left: the picture, then the first expert of every patch in "
      + measured.calls.map(\.name).joined(separator: ", ") + "; " + names.joined(separator: ", ")
  }
}
